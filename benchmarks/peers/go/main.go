// The peers in Go: client-go as it comes, without limits of its own, doing what the Python clients beside it do.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
)

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func rss() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	_, _ = fmt.Sscan(string(text), &size, &resident)
	return float64(resident*int64(os.Getpagesize())) / 1e6
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "which server")
	work := flag.String("work", "", "watch, informer or api")
	kind := flag.String("kind", "typed", "typed or dynamic")
	count := flag.Int("count", 0, "events, objects or requests")
	parallel := flag.Int("parallel", 16, "requests in flight")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	must(err)
	config.QPS, config.Burst = -1, -1
	config.ContentType = "application/json"
	config.AcceptContentTypes = "application/json"
	begunCPU, begun := cpu(), time.Now()
	done := 0
	switch *work + " " + *kind {
	case "watch typed":
		clientset := kubernetes.NewForConfigOrDie(config)
		stream, err := clientset.CoreV1().Pods("").Watch(context.Background(), metav1.ListOptions{ResourceVersion: "0"})
		must(err)
		done = drain(stream, *count)
	case "watch dynamic":
		client := dynamic.NewForConfigOrDie(config)
		stream, err := client.Resource(pods).Watch(context.Background(), metav1.ListOptions{ResourceVersion: "0"})
		must(err)
		done = drain(stream, *count)
	case "informer typed", "informer dynamic":
		done = reconcile(config, *kind, *count)
	case "api typed":
		done = patch(config, *count, *parallel)
	default:
		panic("no such work: " + *work + " " + *kind)
	}
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"done": done, "cpu": cpu() - begunCPU, "wall": time.Since(begun).Seconds(), "rss_mb": rss(),
	}))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func drain(stream watch.Interface, count int) int {
	seen := 0
	for range stream.ResultChan() {
		if seen++; seen == count {
			break
		}
	}
	stream.Stop()
	return seen
}

// Stream, store, queue, and a reconcile that does nothing.
func reconcile(config *rest.Config, kind string, count int) int {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { add(queue, obj) },
		UpdateFunc: func(_, obj any) { add(queue, obj) },
	}
	stop := make(chan struct{})
	if kind == "typed" {
		factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
		_, err := factory.Core().V1().Pods().Informer().AddEventHandler(handler)
		must(err)
		factory.Start(stop)
	} else {
		factory := dynamicinformer.NewDynamicSharedInformerFactory(dynamic.NewForConfigOrDie(config), 0)
		_, err := factory.ForResource(pods).Informer().AddEventHandler(handler)
		must(err)
		factory.Start(stop)
	}
	done := 0
	for done < count {
		key, _ := queue.Get()
		queue.Forget(key)
		queue.Done(key)
		done++
	}
	close(stop)
	return done
}

func add(queue workqueue.TypedRateLimitingInterface[string], obj any) {
	key, err := cache.MetaNamespaceKeyFunc(obj)
	must(err)
	queue.Add(key)
}

func patch(config *rest.Config, count int, parallel int) int {
	clientset := kubernetes.NewForConfigOrDie(config)
	work := make(chan int)
	var waiting sync.WaitGroup
	for range parallel {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			for number := range work {
				body := fmt.Appendf(nil, `{"metadata":{"annotations":{"bench":"%d"}}}`, number)
				var changed *corev1.ConfigMap
				changed, err := clientset.CoreV1().ConfigMaps("default").Patch(
					context.Background(), "bench", types.MergePatchType, body, metav1.PatchOptions{})
				must(err)
				_ = changed.ResourceVersion
			}
		}()
	}
	for number := range count {
		work <- number
	}
	close(work)
	waiting.Wait()
	return count
}
