import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_plugins.rrtf_sweeper_optuna._space import Space
from rrtf_trl.errors import UserError


def space(*arguments: str, **params: str) -> Space:
    return Space.of(OverridesParser.create(), params, list(arguments))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("interval(0.1,10)", FloatDistribution(0.1, 10)),
        ("tag(log,interval(1e-5,1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("interval(1,8)", FloatDistribution(1, 8)),
        ("int(interval(1,8))", IntDistribution(1, 8)),
        ("tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("range(1,11,5)", IntDistribution(1, 6, step=5)),
        ("range(0,1,0.25)", FloatDistribution(0, 0.75, step=0.25)),
        ("a,b", CategoricalDistribution(["a", "b"])),
        ("choice(true,'x y')", CategoricalDistribution(["True", "x\\ y"])),
    ],
)
def test_hydras_grammar_is_the_search_space(value: str, expected: BaseDistribution) -> None:
    found = space(f"x={value}").searched["x"]
    assert found == expected


def test_the_command_line_goes_before_the_configuration() -> None:
    found = space("x=3", "y=1,2", x="interval(0,1)", z="interval(0,1)")
    assert set(found.searched) == {"y", "z"}
    assert found.fixed == ["x=3"]


def test_nothing_to_search_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to search"):
        space("x=3")
