"""Values that Hydra's grammar does not know, and what is left to it."""

import shlex
from pathlib import Path

import pytest
from hydra.errors import OverrideParseException

from rrtf_trl.config.error_messages import error_message
from rrtf_trl.config.grammar import _parser, as_it_is, parsed, quoted

SIGNS = [
    *("lr=1e-5/t.jsonl", "run#2/t", "Übung/t", "ключ", "数据/t", "a (copy)/t", "it's/t", '6" screen/t', "~/t", "a~b"),
    *("a!b", "a&b", "a;b", "a<b>c", "a^b", "a`b", "x=", "t[1].jsonl", "t{1}", "a=b,c=d/t", "${oc.env:HOME}/a=b"),
    *("C:\\lr=1\\t", "(1)/t", "weights(best)/t"),
]
PLAIN = ["a b/t", "$HOME/t", "a:b/t", "a%b", "a+b", "1e-5/t", "a*b", "C:\\x", '"quoted=text"', "1", "null", "[1,2]"]


@pytest.mark.parametrize("value", SIGNS)
def test_a_path_with_signs_is_taken_as_it_is(value: str) -> None:
    assert parsed(f"k={value}") is None
    read = parsed(as_it_is(f"k={value}", sweeps=False))
    assert read is not None
    assert read.value() == value


@pytest.mark.parametrize("value", PLAIN)
def test_what_hydra_reads_is_left_to_it(value: str) -> None:
    assert as_it_is(f"+k={value}", sweeps=False) == f"+k={value}"


@pytest.mark.parametrize("value", ["[a,b", "{a: 1", "choice(a", "range(1;3)", "'a", '"a', "[a]/t", "{a}/t"])
def test_what_may_be_mistyped_is_refused_with_the_quoting_that_works(value: str) -> None:
    override = f"k={value}"
    assert as_it_is(override, sweeps=False) == override
    with pytest.raises(OverrideParseException) as error:
        _parser().parse_overrides([override])
    message = error_message(error.value)
    assert message is not None
    assert "\n" not in message
    (typed,) = shlex.split(message.partition("quote the value if it is a text: ")[2])
    read = parsed(typed)
    assert read is not None
    assert read.value() == value


def test_a_comma_is_part_of_a_path_that_is_there_or_separates_the_values_of_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    (tmp_path / "[a,b").mkdir()
    assert as_it_is("k=a,b", sweeps=False) == 'k="a,b"'
    assert as_it_is("k=[a,b", sweeps=False) == 'k="[a,b"'
    assert as_it_is("k=a,c", sweeps=False) == "k=a,c"
    assert as_it_is("k=a,b", sweeps=True) == "k=a,b"
    assert as_it_is("k=lr=1/t,2,Ü", sweeps=True) == 'k="lr=1/t",2,"Ü"'
    read = parsed(as_it_is("k=lr=1/t,lr=2/t", sweeps=True))
    assert read is not None
    assert [str(value) for value in read.sweep_string_iterator()] == ['"lr=1/t"', '"lr=2/t"']


@pytest.mark.parametrize("override", ["a b=1", "=1", "k", "~k", "a#b=x=y"])
def test_what_is_wrong_in_the_key_is_not_quoted(override: str) -> None:
    assert as_it_is(override, sweeps=False) == override
    assert quoted(override) is None or parsed(override) is not None
