"""JSON texts with one value changed to what no writer of ours writes."""

import json
import random
from typing import Any

__all__ = ["changed_json"]

_STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2**63,
    10**40,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    "",
    "text",
    "\ud800",
    "\x1b[31m",
    [],
    {},
    [[]],
    {"a": {}},
    [1, 2],
)
_RAW = ("", "{", "[" * 2000, '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}", "null", '{"a":1,"a":2}')


def changed_json(dice: random.Random, text: str) -> str:
    """Change one value, key or length of a JSON text, or the whole text."""
    if dice.random() < 0.1:
        return dice.choice(_RAW)
    content = json.loads(text)
    place = _somewhere(dice, content)
    if isinstance(place, dict) and place:
        key = dice.choice(sorted(place))
        way = dice.randrange(4)
        if way == 0:
            del place[key]
        elif way == 1:
            place[key + "x"] = place.pop(key)
        else:
            place[key] = dice.choice(_STRANGE)
    elif isinstance(place, list) and place:
        at = dice.randrange(len(place))
        way = dice.randrange(3)
        if way == 0:
            del place[at]
        elif way == 1:
            place.append(place[at])
        else:
            place[at] = dice.choice(_STRANGE)
    else:
        content = dice.choice(_STRANGE)
    return json.dumps(content)


def _somewhere(dice: random.Random, content: Any) -> Any:
    """Choose one of the objects and lists of a value."""
    places = [content]
    for place in places:
        members = place.values() if isinstance(place, dict) else place
        places += [member for member in members if isinstance(member, dict | list)]
    return dice.choice(places)
