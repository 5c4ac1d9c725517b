"""The functions that Kubernetes adds to CEL, as overloads for cel-expr-python. Knows no rule and no object.

A quantity, address, network or URL is a map with one private key: the engine dispatches on maps, and equal values compare equal.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from cel_expr_python import cel

from fedstate.kube.objects import parse_quantity
from fedstate.local.apiserver.objects.nodes import python_pattern
from fedstate.local.apiserver.objects.quantities import BAD_QUANTITY

_T = cel.Type
_Function = Callable[..., Any]


def functions() -> list[Any]:
    """Declarations for a `cel.CelExtension`; it has to come after the strings extension, whose indexOf it adds to."""
    return [*_quantity_functions(), *_list_functions(), *_text_functions(), *_network_functions(), *_url_functions()]


def _declared(name: str, implementation: _Function, returns: Any, *parameters: Any, member: bool = True) -> Any:
    return cel.FunctionDecl(name, [_overload(name, implementation, returns, *parameters, member=member)])


def _overload(name: str, implementation: _Function, returns: Any, *parameters: Any, member: bool = True) -> Any:
    identity = f"fedstate_{name}_{len(parameters)}_{parameters[0].name() if parameters else ''}_{parameters[-1].name() if parameters else ''}"
    return cel.Overload(re.sub(r"\W", "_", identity), returns, list(parameters), member, impl=implementation)


def _is(parse: _Function) -> _Function:
    def check(*arguments: Any) -> bool:
        try:
            parse(*arguments)
        except ValueError:
            return False
        return True

    return check


def _quantity(text: str) -> dict[str, str]:
    try:
        number = parse_quantity(text)
    except ValueError as error:
        raise ValueError(BAD_QUANTITY) from error
    return _as_quantity(number)


def _as_quantity(number: Decimal) -> dict[str, str]:
    return {"quantity": format(number.normalize(), "f")}


def _number(value: Any) -> Decimal:
    return Decimal(value["quantity"])


def _operand(value: Any) -> Decimal:
    return Decimal(value) if isinstance(value, int) else _number(value)


def _whole(value: Any) -> int:
    number = _number(value)
    if number != number.to_integral_value() or abs(number) >= 2**63:
        raise ValueError("cannot convert value to integer")
    return int(number)


def _is_whole(value: Any) -> bool:
    number = _number(value)
    return number == number.to_integral_value() and abs(number) < 2**63


def _order(one: Any, other: Any) -> int:
    left, right = _number(one), _number(other)
    return (left > right) - (left < right)


def _quantity_functions() -> list[Any]:
    found = [
        _declared("quantity", _quantity, _T.MAP, _T.STRING, member=False),
        _declared("isQuantity", _is(_quantity), _T.BOOL, _T.STRING, member=False),
        _declared("compareTo", _order, _T.INT, _T.MAP, _T.MAP),
        _declared("isGreaterThan", lambda a, b: _order(a, b) > 0, _T.BOOL, _T.MAP, _T.MAP),
        _declared("isLessThan", lambda a, b: _order(a, b) < 0, _T.BOOL, _T.MAP, _T.MAP),
        _declared("sign", lambda a: (_number(a) > 0) - (_number(a) < 0), _T.INT, _T.MAP),
        _declared("asInteger", _whole, _T.INT, _T.MAP),
        _declared("isInteger", _is_whole, _T.BOOL, _T.MAP),
        _declared("asApproximateFloat", lambda a: float(_number(a)), _T.DOUBLE, _T.MAP),
    ]
    for name, sign in (("add", 1), ("sub", -1)):

        def combine(one: Any, other: Any, sign: int = sign) -> dict[str, str]:
            return _as_quantity(_number(one) + sign * _operand(other))

        overloads = [_overload(name, combine, _T.MAP, _T.MAP, operand) for operand in (_T.MAP, _T.INT)]
        found.append(cel.FunctionDecl(name, overloads))
    return found


def _sum(items: Sequence[Any]) -> Any:
    return sum(items) if items else 0


def _lowest(items: Sequence[Any]) -> Any:
    if not items:
        raise ValueError("min called on empty list")
    return min(items)


def _highest(items: Sequence[Any]) -> Any:
    if not items:
        raise ValueError("max called on empty list")
    return max(items)


def _is_sorted(items: Sequence[Any]) -> bool:
    return all(one <= other for one, other in zip(items, items[1:], strict=False))


def _position(items: Sequence[Any], item: Any) -> int:
    return next((index for index, one in enumerate(items) if one == item), -1)


def _last_position(items: Sequence[Any], item: Any) -> int:
    return next((index for index in range(len(items) - 1, -1, -1) if items[index] == item), -1)


def _list_functions() -> list[Any]:
    found = [
        _declared("sum", _sum, _T.DYN, _T.LIST),
        _declared("min", _lowest, _T.DYN, _T.LIST),
        _declared("max", _highest, _T.DYN, _T.LIST),
        _declared("isSorted", _is_sorted, _T.BOOL, _T.LIST),
        _declared("sets.contains", lambda a, b: all(x in a for x in b), _T.BOOL, _T.LIST, _T.LIST, member=False),
        _declared("sets.intersects", lambda a, b: any(x in a for x in b), _T.BOOL, _T.LIST, _T.LIST, member=False),
        _declared(
            "sets.equivalent",
            lambda a, b: all(x in a for x in b) and all(x in b for x in a),
            _T.BOOL,
            _T.LIST,
            _T.LIST,
            member=False,
        ),
    ]
    for name, implementation in (("indexOf", _position), ("lastIndexOf", _last_position)):
        found.append(_declared(name, implementation, _T.INT, _T.LIST, _T.DYN))
    return found


def _find(text: str, pattern: str) -> str:
    match = re.search(python_pattern(pattern), text)
    return match.group() if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match.group() for match in re.finditer(python_pattern(pattern), text)]
    return found if limit < 0 else found[:limit]


def _text_functions() -> list[Any]:
    return [
        _declared("find", _find, _T.STRING, _T.STRING, _T.STRING),
        cel.FunctionDecl(
            "findAll",
            [
                _overload("findAll", _find_all, _T.List(_T.STRING), _T.STRING, _T.STRING),
                _overload("findAll", _find_all, _T.List(_T.STRING), _T.STRING, _T.STRING, _T.INT),
            ],
        ),
    ]


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _ip(text: str) -> dict[str, str]:
    try:
        return {"ip": str(ipaddress.ip_address(text))}
    except ValueError as error:
        raise ValueError(f'IP Address "{text}" parse error during conversion from string') from error


def _cidr(text: str) -> dict[str, str]:
    if "/" not in text:
        raise ValueError(f"network address parse error during conversion from string: {text!r}")
    return {"cidr": str(ipaddress.ip_interface(text))}


def _address(value: Any) -> _Address:
    return ipaddress.ip_address(value["ip"] if isinstance(value, dict) else value)


def _network(value: Any) -> _Network:
    return ipaddress.ip_interface(value["cidr"] if isinstance(value, dict) else value).network


def _contains_network(outer: Any, inner: Any) -> bool:
    one, other = _network(outer), _network(inner)
    return one.version == other.version and other.network_address in one and other.prefixlen >= one.prefixlen


def _network_functions() -> list[Any]:
    found = [
        _declared("isIP", _is(_ip), _T.BOOL, _T.STRING, member=False),
        _declared("ip", _ip, _T.MAP, _T.STRING, member=False),
        _declared("isCIDR", _is(_cidr), _T.BOOL, _T.STRING, member=False),
        _declared("cidr", _cidr, _T.MAP, _T.STRING, member=False),
        _declared("family", lambda ip: _address(ip).version, _T.INT, _T.MAP),
        _declared("isUnspecified", lambda ip: _address(ip).is_unspecified, _T.BOOL, _T.MAP),
        _declared("isLoopback", lambda ip: _address(ip).is_loopback, _T.BOOL, _T.MAP),
        _declared("isLinkLocalUnicast", lambda ip: _address(ip).is_link_local, _T.BOOL, _T.MAP),
        _declared("prefixLength", lambda net: _network(net).prefixlen, _T.INT, _T.MAP),
    ]
    for name, contains in (("containsIP", lambda n, ip: _address(ip) in _network(n)), ("containsCIDR", _contains_network)):
        overloads = [_overload(name, contains, _T.BOOL, _T.MAP, operand) for operand in (_T.MAP, _T.STRING)]
        found.append(cel.FunctionDecl(name, overloads))
    return found


def _url(text: str) -> dict[str, str]:
    parts = urlsplit(text)
    if re.search(r"\s", text) or not (parts.scheme and (parts.netloc or parts.path) or text.startswith("/")):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    _ = parts.port
    return {"url": text}


def _parts(value: Any) -> SplitResult:
    return urlsplit(str(value["url"]))


def _url_functions() -> list[Any]:
    return [
        _declared("isURL", _is(_url), _T.BOOL, _T.STRING, member=False),
        _declared("url", _url, _T.MAP, _T.STRING, member=False),
        _declared("getScheme", lambda url: _parts(url).scheme, _T.STRING, _T.MAP),
        _declared("getHost", lambda url: _parts(url).netloc.rpartition("@")[2], _T.STRING, _T.MAP),
        _declared("getHostname", lambda url: _parts(url).hostname or "", _T.STRING, _T.MAP),
        _declared("getPort", lambda url: str(_parts(url).port or ""), _T.STRING, _T.MAP),
        _declared("getEscapedPath", lambda url: _parts(url).path, _T.STRING, _T.MAP),
        _declared("getQuery", lambda url: parse_qs(_parts(url).query), _T.Map(_T.STRING, _T.List(_T.STRING)), _T.MAP),
    ]
