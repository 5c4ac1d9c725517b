"""Members as tests ask for them."""

from hypothesis import strategies as st

from fedstate.api.federated import Toleration
from fedstate.kube.records import Requirement
from fedstate.scheduler.capacity.rooms import MemberShape

GI = 2**30
CHOOSY = MemberShape(
    request=(("cpu", 500), ("memory", GI)),
    node_selector=(("disk", "ssd"), ("zone", "a")),
    terms=(
        (Requirement("arch", "In", ("amd64", "arm64")), Requirement("old", "DoesNotExist")),
        (Requirement("gen", "Gt", ("3",)),),
    ),
    tolerations=(
        Toleration(key="dedicated", operator="Equal", value="db", effect="NoSchedule"),
        Toleration(key="", operator="Exists", value="", effect=""),
    ),
)


def shape(cpu: int = 500, memory: int = GI) -> MemberShape:
    return MemberShape(request=tuple((name, amount) for name, amount in (("cpu", cpu), ("memory", memory)) if amount))


_texts = st.text(max_size=6)
_requirements = st.builds(Requirement, _texts, _texts, st.lists(_texts, max_size=3).map(tuple))
_named_amounts = st.dictionaries(st.text(min_size=1, max_size=6) | st.just("cpu"), st.integers(1, 2**62), max_size=4)
SHAPES = st.builds(
    MemberShape,
    request=_named_amounts.map(lambda amounts: tuple(sorted(amounts.items()))),
    node_selector=st.dictionaries(_texts, _texts, max_size=3).map(lambda labels: tuple(sorted(labels.items()))),
    terms=st.lists(st.lists(_requirements, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple),
    tolerations=st.lists(st.builds(Toleration, key=_texts, operator=_texts, value=_texts, effect=_texts), max_size=3).map(tuple),
)
