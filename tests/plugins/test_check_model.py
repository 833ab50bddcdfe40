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
    assert said.count("✓") == (22 if content else 20)
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
    "batchwise": ("batch path equals all nodes", "users, positives, negatives"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_kind_of_fault_is_named(own, name: str) -> None:
    found = failures(own(name, *BROKEN[name]))
    title, part = EXPECTED[name]
    assert title in found, found
    assert part in found[title]
    if name in ("idle", "batchwise"):  # and nothing else: the others have more than one consequence
        assert set(found) == {title}


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
