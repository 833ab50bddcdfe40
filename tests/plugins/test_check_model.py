"""`check-model` passes a good model, and names what is wrong with a broken one, whatever that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.checks.contract.suite import run_checks
from bench.checks.scaffold import Skeleton, rendered
from bench.cli.main import main
from bench.engine.plugins import use_plugins

INIT = '        self.graph = bipartite(self.train_users, self.train_items, self.n_users, self.n_items, "sym")\n'
SPLIT = "        users, items = final.split([self.n_users, self.n_items])\n        return users, items\n"


def failures(path: Path) -> dict[str, str]:
    """Titles of the failed checks with their messages."""
    with use_plugins([str(path)]):
        return {each.check.title: str(each.problem) for each in run_checks(path.stem) if each.problem is not None}


@pytest.mark.parametrize("content", [False, True])
def test_a_new_model_honours_the_contract(own, content: bool, capsys: pytest.CaptureFixture[str]) -> None:
    path = own("fresh", content=content)
    assert main(["check-model", "fresh", "--plugin", str(path)]) == 0
    said = capsys.readouterr().out
    assert "✗" not in said
    assert said.count("✓") == (24 if content else 22)
    assert "checks passed" in said


def test_a_broken_model_ends_with_one_and_is_told_how_to_mend_it(own, capsys: pytest.CaptureFixture[str]) -> None:
    path = own("still", (INIT, INIT + "        self.unused = torch.nn.Parameter(torch.ones(3))\n"))
    assert main(["check-model", "still", "--plugin", str(path)]) == 1
    said = capsys.readouterr().out
    assert "✗ every parameter moves" in said
    for part in ("found: An epoch never moved the parameters unused.", "why:", "fix:", "register_buffer"):
        assert part in said


BROKEN = {
    # a parameter without a gradient
    "idle": ((INIT, INIT + "        self.unused = torch.nn.Parameter(torch.ones(3))\n"),),
    # final tables are kept from the loss, and those are from before its step
    "stale": (
        (INIT, INIT + "        self.kept = None\n"),
        ("        layers = [self.ego()]", "        if self.kept is not None and not self.training:\n"
         "            return self.kept\n        layers = [self.ego()]"),
        (SPLIT, SPLIT.replace("return", "self.kept = users.detach(), items.detach()\n        return")),
    ),
    # item i is scored by row i + 1, so that padding is recommended as the last item
    "shifted": ((SPLIT, SPLIT.replace("return users, items", "return users, items.roll(-1, dims=0)")),),
    # drawn from a generator that nobody seeds
    "drawn": (
        ("import torch\nfrom pydantic", "import numpy as np\nimport torch\nfrom pydantic"),
        (INIT, INIT + "        self.noise = torch.from_numpy(np.random.default_rng().normal(size=4)).float()\n"),
        ("torch.stack(layers).mean(dim=0)", "torch.stack(layers).mean(dim=0) * self.noise.mean()"),
    ),
    # a parameter is declared, has a value and a docstring, and is never used
    "ignored": (
        ("        for _ in range(self.params.n_layers):", "        for _ in range(2):"),
    ),
    # with one kind of initial values, scores depend on what the last training step left behind
    "left": (
        (INIT, INIT + "        self.shift = 0.0\n"),
        (SPLIT, """        users, items = final.split([self.n_users, self.n_items])
        if self.training and self.params.init == "xavier_uniform":
            self.shift = items.detach().norm(dim=1, keepdim=True)
        return users, items + self.shift
"""),
    ),
    # batches are trained on without the last layer
    "batchwise": (
        (SPLIT, SPLIT + '''
    def embed_batch(self, users, positives, negatives):
        """The batch's vectors."""
        first, second = self.user_embedding.weight, self.item_embedding.weight
        return first[users], second[positives], second[negatives]
'''),
    ),
}  # fmt: skip
EXPECTED = {
    "idle": ("every parameter moves", "unused"),
    "stale": ("scores follow the last step", "stale cache"),
    "shifted": ("padding plays no part", "items 14 (counted from 0)"),
    "drawn": ("same seed same bits", "numpy"),
    "ignored": ("every parameter has an effect", "Other values of n_layers change nothing"),
    "left": ("every switch is scored from its state", "With init=xavier_uniform, a model"),
    "batchwise": ("batch path equals all nodes", "users, positives, negatives"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_kind_of_fault_is_named(own, name: str) -> None:
    found = failures(own(name, *BROKEN[name]))
    title, part = EXPECTED[name]
    assert title in found, found
    assert part in found[title]
    # and nothing else is found: the faults that are not named here have more than one consequence
    if name in ("idle", "ignored", "left", "batchwise"):
        assert set(found) == {title}


def declared(*more: str, used: str = "") -> list[tuple[str, str]]:
    """Changes that declare parameters of type float in a skeleton, and use them by a line before its embed()."""
    fields = "".join(f'\n    {name}: float\n    """A parameter."""' for name in more)
    changes = [('"""Number of propagation layers, L."""', '"""Number of propagation layers, L."""' + fields)]
    return [*changes, (INIT, INIT + used)]


def with_values(path: Path, **values: float) -> Path:
    """Give values to parameters in the YAML beside a model."""
    file = path.with_suffix(".yaml")
    lines = "".join(f"  {name}: {value}\n" for name, value in values.items())
    file.write_text(file.read_text(encoding="utf-8").replace("search:\n", f"{lines}search:\n"), encoding="utf-8")
    return path


def test_a_parameter_may_act_under_another_one_only(own) -> None:
    use = "        if self.params.gate > 1.5:\n            self.user_embedding.weight.data *= self.params.factor\n"
    path = with_values(own("gated", *declared("gate", "factor", used=use)), gate=1.0, factor=1.0)
    assert failures(path) == {}


def test_a_parameter_that_acts_late_is_named_by_the_model(own) -> None:
    reason = '\n    EFFECT_NOT_TESTED: ClassVar = {"patience": "acts after 100 epochs"}'
    path = own("late", *declared("patience"), ("    Params = Params", "    Params = Params" + reason))
    assert failures(with_values(path, patience=3.0)) == {}
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"patience": "acts', '"patients": "acts'), encoding="utf-8")
    other = path.rename(path.with_name("later.py"))  # a module is imported once
    path.with_suffix(".yaml").rename(path.with_name("later.yaml"))
    other.write_text(other.read_text(encoding="utf-8").replace("class Late(", "class Later("), encoding="utf-8")
    found = failures(other)
    assert (
        "EFFECT_NOT_TESTED names patients, which Params does not declare" in found["every parameter has an effect"]
    )


def test_an_error_in_the_models_code_is_told_with_its_line(own) -> None:
    path = own("failing", ("        final = torch.stack(layers)", "        final = torch.stack(leyers)"))
    line = path.read_text(encoding="utf-8").splitlines().index(
        "        final = torch.stack(leyers).mean(dim=0)  # Eq. 2"
    ) + 1  # fmt: skip
    found = failures(path)
    assert f"{path}, line {line}" in found["tables have the right shape"]
    assert "NameError" in found["tables have the right shape"]
    assert "yaml fits params" not in found


def test_a_model_of_recboles_is_not_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-model", "recbole:EASE"]) == 2
    assert "--models" in capsys.readouterr().err


@pytest.mark.parametrize("content", [False, True])
def test_the_model_in_this_project_has_the_same_code_and_only_the_test_of_its_equations(content: bool) -> None:
    inside, outside = (rendered(Skeleton("fresh", content, folder)) for folder in (None, Path("mine")))
    assert (inside["py"], inside["yaml"]) == (outside["py"], outside["yaml"])
    assert "def test_vectors" in inside["test"]
    assert "def test_vectors" in outside["test"]
    assert "use_plugins" not in inside["test"]  # the contract tests find it by themselves
