"""What JSON and TOML of files may hold."""

import json
from typing import Any

import pytest

from bitpim_traces.strict_text import MAX_TOML_BYTES, is_text, strict_json, strict_toml


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [{"a": [1, -2.5, None, True, "é", {}]}, 2**128 - 1, nested(31), "a\nb", [], 1e308],
)
def test_plain_values_pass(value: Any) -> None:
    assert strict_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', "got 'a' twice"),
        ('{"a": {"b": 1, "b": 1}}', "got 'b' twice"),
        (json.dumps(nested(32)), "at most 32 deep"),
        ("[" * 100_000, "at most 32 deep"),
        ("NaN", "NaN is no JSON number"),
        ("[-Infinity]", "-Infinity is no JSON number"),
        ("1e999", "need finite numbers"),
        (str(2**128), "at most 128 bits"),
        ("9" * 5000, "4300 digits"),
        (r'"\ud800"', "half of a surrogate pair"),
        (r'{"\udfff": 1}', "half of a surrogate pair"),
        ("", "Expecting value"),
    ],
)
def test_other_json_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        strict_json(text)


def test_infinity_where_it_is_allowed() -> None:
    assert strict_json("[Infinity, 1e999]", are_finite=False) == [float("inf")] * 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a" + ".a" * 600 + " = 1", "at most 500 dots in a key"),
        ("a" + ".a" * 40 + " = 1", "at most 32 deep"),
        ("a = " + "[" * 5000 + "]" * 5000, "at most 32 deep"),
        ("#" * (MAX_TOML_BYTES + 1), "characters"),
        ("a = 1\na = 2", "overwrite"),
        ("a = 0x" + "f" * 40, "at most 128 bits"),
    ],
)
def test_other_toml_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        strict_toml(text)


def test_texts() -> None:
    assert is_text("") and is_text("é") and is_text("\U0001f600")
    assert not is_text("\ud800") and not is_text("a\udfffb") and not is_text(b"a")


def test_only_dots_of_one_key_are_too_many() -> None:
    numbers = ", ".join(str(k / 8) for k in range(1001))
    assert len(strict_toml(f"x = [{numbers}]")["x"]) == 1001
    assert strict_toml(f'x = "{"." * 1000}"') == {"x": "." * 1000}
    for part in ("a", '"b,c"', "'d=e'", '"f\\"["'):
        for key in (f"{part}{f'.{part}' * 501} = 1", f"[{part}{f'.{part}' * 501}]"):
            with pytest.raises(ValueError, match="at most 500 dots in a key"):
                strict_toml(key)
