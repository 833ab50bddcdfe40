"""The ledger: every claim is there, the paper's contradictions are found, verdicts follow from planted truth."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.core.errors import ConfigError, UsageError
from bench.core.protocol import TOPK_DEPTH
from bench.core.types import TopK
from bench.report.artifacts import ARTIFACTS
from bench.report.comparisons import COMPARED, UserScores
from bench.report.material import Material
from bench.report.render import to_csv, to_latex, to_markdown
from bench.report.tables.claim_rules import CLAIMS_FILE, Claim, judge, load_claims, printed
from bench.report.tables.claims import claims_table, contrast_name, our_words, paper_words
from bench.report.wording import data_notes
from bench.runs.store import ResultsStore

BASELINES = ["mf", "vbpr", "acf", "ngcf", "mmgcn", "lightgcn", "grcn", "lattice"]
N_USERS = 400


@pytest.fixture(scope="module")
def claims(paper: Any) -> dict[str, Claim]:
    return {claim.id: claim for claim in load_claims(paper)}


def claim_of(rule: str, these: Any, those: Any = (), **more: Any) -> Claim:
    fields = {"id": "c", "claim": "c", "place": "5", "metrics": ["recall@10"]}
    return Claim(rule=rule, these=list(these), those=list(those), **(fields | more))


@pytest.fixture
def verdict(paper: Any, make_facts: Any) -> Any:
    """The finding on rows whose users have these mean scores, with little noise; None is a row without runs.

    `luck` is added to the seeds of every row, `[n_seeds, 1]`.
    """

    def weigh(
        claim: Claim, means: dict[str, float | None], n_seeds: int = 3, luck: Any = 0.0, **facts: Any
    ) -> Any:
        rng = np.random.default_rng(1)
        taste = rng.random(N_USERS) * 0.1
        rows = {label: mean for label, mean in means.items() if mean is not None}
        values = np.array(
            [mean + luck + taste + 0.01 * rng.standard_normal((n_seeds, N_USERS)) for mean in rows.values()]
        )
        gaps = {label: f"1 of {n_seeds} seeds" for label, mean in means.items() if mean is None}
        scores = UserScores(
            make_facts(**facts), tuple(rows), N_USERS, dict.fromkeys(COMPARED, values - 0.05), gaps
        )
        return judge(claim, scores, scores.resamples(20), paper)

    return weigh


def test_every_claim_of_the_section_is_there(claims: Any) -> None:
    named = {
        "ludp-best": BASELINES,
        "improvement": BASELINES,
        "gcn-over-cf": BASELINES,
        "content-over-cf": BASELINES,
        "grcn-over-lattice": ["grcn", "lattice"],
        "multi-over-single": [f"ludp@modality={name}" for name in ("all", "visual", "acoustic", "textual")],
        "attention-best": [f"ludp@fusion={name}" for name in ("attention", "sum", "concat_fc")],
        "neighbours-peak": [f"ludp@k={k}" for k in (5, 10, 20, 50)],
        "item-graph-helps": ["ludp@parts=item graph", "ludp@parts=base"],
        "user-preference-helps": ["ludp@parts=full", "ludp@parts=item graph"],
    }
    for name, labels in named.items():
        assert sorted({*claims[name].labels} - {"ludp"}) == sorted({*labels} - {"ludp"}), name
    others = "visual-best textual-worst acoustic-worst user-preference-helps-less concat-worst"
    assert {*others.split(), "one-layer-best", "two-layers-best", "single-over-multimodal"} <= set(claims)
    assert {claim.place.split(",")[0].split(";")[0] for claim in claims.values()} == {
        *("5.1.1", "5.1.2", "5.2", "5.3.1", "5.3.2", "5.3.3", "5.3.4", "5.4.1", "5.4.2")
    }


def test_the_runs_that_the_claims_need_are_asked_for(claims: Any, make_facts: Any) -> None:
    modality = make_facts().modalities[0]
    facts = make_facts(
        modalities=[modality.model_copy(update={"name": n}) for n in ("visual", "acoustic", "textual")]
    )
    asked = {row.label for row in ARTIFACTS["claims"].rows(facts)} | {"ludp", *BASELINES}
    assert {label for claim in claims.values() for label in claim.labels} <= asked


@pytest.mark.parametrize(
    ("name", "dataset", "words"),
    [
        ("ludp-best", "tiktok", "24 of 24 printed differences as claimed"),
        ("grcn-over-lattice", "tiktok", "2 of 3 .*; not: GRCN vs. LATTICE \\(R@10 0.0577 and 0.0582\\)"),
        ("improvement", "tiktok", "P@10 \\+4.07% over GRCN, from its values 4.08%; R@10 \\+5.33% over LATTICE; "),
        ("improvement", "movielens", "P@10 \\+6.16% .*LATTICE; R@10 \\+6.77% .*; NDCG@10 \\+8.44% over LATTICE$"),
        ("gcn-over-cf", "tiktok", "42 of 45 single pairs as claimed; not: NGCF vs. VBPR in all$"),
        (
            "content-over-cf",
            "movielens",
            "MMGCN vs. LightGCN in all, GRCN vs. LightGCN \\(R@10 0.1948 and 0.1978\\)$",
        ),
        ("single-over-multimodal", "tiktok", "43 of 45 .*acoustic\\) vs. GRCN \\(P@10 0.0368 and 0.0368\\)"),
        ("mmgcn-close-to-lightgcn", "tiktok", "^P@10 -1.4%, R@10 -4.5%, NDCG@10 -1.6%$"),
        ("acoustic-worst", "movielens", "6 of 6 .* is below LightGCN"),
        ("tiktok-dense", "tiktok", "sparser"),
        ("two-layers-best", "movielens", "^6 of 6"),
        ("modalities-differ", "tiktok", "^9 of 9 printed differences are not 0$"),
        ("neighbours-peak", "tiktok", "^drawn, no value printed$"),
    ],
)
def test_what_the_papers_numbers_say(claims: Any, paper: Any, name: str, dataset: str, words: str) -> None:
    assert re.search(words, paper_words(claims[name], dataset, paper))


def test_printed_values_are_found_by_row(paper: Any) -> None:
    assert printed(paper, "tiktok", "mf", "recall@10") == 0.0466
    assert printed(paper, "movielens", "ludp@modality=acoustic", "ndcg@10") == 0.1744
    assert printed(paper, "tiktok", "ludp@item layers=3", "precision@10") == 0.0366
    assert printed(paper, "tiktok", "ludp@k=5", "recall@10") is None
    assert printed(paper, "baby", "mf", "recall@10") is None


def test_a_claim_of_several_differences(verdict: Any) -> None:
    claim = claim_of("above", ["ludp"], ["mf", "grcn"])
    assert verdict(claim, {"ludp": 0.3, "mf": 0.2, "grcn": 0.2}).verdict == "holds"
    lost = verdict(claim, {"ludp": 0.3, "mf": 0.2, "grcn": 0.4})
    assert (lost.verdict, lost.reason) == ("does not hold", "in R@10")
    level = verdict(claim, {"ludp": 0.3, "mf": 0.2, "grcn": 0.3})
    unseen = level.contrasts["recall@10"][1].relative_detectable
    size = f"differences below {unseen:.1%} would often go unseen"
    assert level.verdict == "not decidable here"
    assert level.reason == f"not every difference is significant in R@10; {size}"


@pytest.mark.parametrize(
    ("n_seeds", "expected"),
    [
        (1, ("not decidable here", "1 seed, 3 needed")),
        (2, ("not decidable here", "2 seeds, 3 needed")),
        (3, ("holds", "")),
    ],
)
def test_fewer_than_three_seeds_decide_no_claim(
    verdict: Any, paper: Any, n_seeds: int, expected: tuple[str, str]
) -> None:
    found = verdict(claim_of("above", ["ludp"], ["mf"]), {"ludp": 0.3, "mf": 0.2}, n_seeds=n_seeds)
    assert (found.verdict, found.reason) == expected
    assert our_words(found, paper).startswith("R@10 +")  # the difference is shown all the same
    if n_seeds < 3:
        refuted = verdict(claim_of("above", ["ludp"], ["mf"]), {"ludp": 0.1, "mf": 0.2}, n_seeds=n_seeds)
        assert refuted.verdict == "not decidable here"


def test_missing_runs_leave_it_open_unless_one_difference_refutes(verdict: Any, paper: Any) -> None:
    claim = claim_of("above", ["ludp"], ["mf", "grcn"])
    ahead = verdict(claim, {"ludp": 0.3, "mf": 0.2, "grcn": None})
    assert (ahead.verdict, ahead.reason) == ("not decidable here", "runs are missing")
    assert our_words(ahead, paper).startswith("R@10 +")
    assert our_words(ahead, paper).endswith("; 1 of 3 seeds: GRCN")
    assert verdict(claim, {"ludp": 0.1, "mf": 0.2, "grcn": None}).verdict == "does not hold"
    nothing = verdict(claim, {"ludp": None, "mf": 0.2, "grcn": None})
    assert our_words(nothing, paper) == "– (1 of 3 seeds: LUDP, GRCN)"
    mean = verdict(claim_of("mean_above", ["ludp"], ["mf", "grcn"]), {"ludp": 0.1, "mf": 0.2, "grcn": None})
    assert (mean.verdict, mean.contrasts) == ("not decidable here", {})
    blind = verdict(
        claim_of("above", ["ludp@modality=visual"], ["mf"]),
        {"ludp@modality=visual": None, "mf": 0.2},
        missing={"visual": "no posters."},
    )
    assert our_words(blind, paper) == "– (no visual modality: LUDP (modality=visual))"


@pytest.mark.parametrize("source", ["surrogate", "embedded"])
@pytest.mark.parametrize("ludp", [0.1, 0.3])
def test_data_that_are_not_real_decide_nothing(verdict: Any, paper: Any, source: str, ludp: float) -> None:
    found = verdict(claim_of("above", ["ludp"], ["mf"]), {"ludp": ludp, "mf": 0.2}, source=source)
    assert found.verdict == "not decidable here"
    assert found.contrasts["recall@10"][0].sign == (1 if ludp > 0.2 else -1)
    assert "p <0.001" in our_words(found, paper)


LUCK = np.array([[-0.03], [0.0], [0.03]])


def test_what_other_seeds_could_give_decides_no_claim(verdict: Any) -> None:
    means = {"ludp": 0.22, "mf": 0.2, "grcn": 0.05}
    for claim, words in (
        (claim_of("above", ["ludp"], ["mf"]), "within what other seeds could give in R@10"),
        (claim_of("differ", ["ludp", "mf"]), "within what other seeds could give in R@10"),
    ):
        assert verdict(claim, means).verdict == "holds"
        found = verdict(claim, means, luck=LUCK)
        assert (found.verdict, found.reason) == ("not decidable here", words)
        assert found.contrasts["recall@10"][0].p_corrected < 0.05
    refuted = claim_of("above", ["mf"], ["ludp"])
    assert verdict(refuted, means).verdict == "does not hold"
    assert verdict(refuted, means, luck=LUCK).verdict == "not decidable here"


def test_a_reason_counts_what_is_within_what_other_seeds_could_give(verdict: Any) -> None:
    claim = claim_of("above", ["ludp"], ["mf", "grcn", "vbpr"])
    found = verdict(claim, {"ludp": 0.22, "mf": 0.2, "grcn": 0.22, "vbpr": 0.05}, luck=LUCK)
    (level,) = (each for each in found.contrasts["recall@10"] if "grcn" in each.weights)
    assert found.reason == (
        f"not every difference is significant (1 within what other seeds could give) in R@10; differences below "
        f"{level.relative_detectable:.1%} would often go unseen"
    )


def test_closeness_is_also_that_of_other_seeds(verdict: Any) -> None:
    claim = claim_of("close", ["mmgcn"], ["lightgcn"], margin_percent=5)
    means = {"mmgcn": 0.2, "lightgcn": 0.2}
    assert verdict(claim, means).verdict == "holds"
    assert verdict(claim, means, luck=LUCK).verdict == "not decidable here"
    assert verdict(claim, {"mmgcn": 0.23, "lightgcn": 0.2}).verdict == "does not hold"
    assert verdict(claim, {"mmgcn": 0.23, "lightgcn": 0.2}, luck=LUCK).verdict == "not decidable here"


def test_a_claim_about_means_weighs_every_row_alike(verdict: Any, paper: Any) -> None:
    claim = claim_of("mean_above", ["ngcf", "grcn"], ["mf", "vbpr"])
    found = verdict(claim, {"ngcf": 0.1, "grcn": 0.4, "mf": 0.2, "vbpr": 0.2})
    assert found.verdict == "holds"
    (contrast,) = found.contrasts["recall@10"]
    assert contrast.difference == pytest.approx(0.05, abs=0.01)
    assert contrast.relative == pytest.approx(0.25, abs=0.02)
    assert contrast_name(contrast.weights, paper) == "mean of NGCF, GRCN vs. mean of MF, VBPR"
    assert verdict(claim, {"ngcf": 0.1, "grcn": 0.2, "mf": 0.2, "vbpr": 0.2}).verdict == "does not hold"


@pytest.mark.parametrize(
    ("other", "expected"), [(0.2, "holds"), (0.3, "does not hold"), (0.2101, "not decidable here")]
)
def test_closeness_is_an_interval_within_the_margin(verdict: Any, other: float, expected: str) -> None:
    claim = claim_of("close", ["mmgcn"], ["lightgcn"], margin_percent=5)
    assert verdict(claim, {"mmgcn": other, "lightgcn": 0.2}).verdict == expected


def test_a_size_holds_if_the_interval_allows_it(verdict: Any, paper: Any) -> None:
    claim = claim_of("gain", ["ludp"], ["mf", "lattice"], datasets=["tiktok"])
    fits = verdict(claim, {"ludp": 0.2 * 1.0533, "mf": 0.1, "lattice": 0.2})
    assert fits.verdict == "holds"
    assert our_words(fits, paper).startswith("R@10 LUDP vs. LATTICE +5.")
    assert verdict(claim, {"ludp": 0.3, "mf": 0.1, "lattice": 0.2}).verdict == "does not hold"
    assert verdict(claim, {"ludp": 0.15, "mf": 0.1, "lattice": 0.2}).verdict == "does not hold"


def test_a_wide_interval_confirms_no_size(verdict: Any) -> None:
    """Other seeds could give the printed gain, and none; and a gain that these users alone rule out."""
    claim = claim_of("gain", ["ludp"], ["mf", "lattice"], datasets=["tiktok"])
    for ludp in (0.2 * 1.0533, 0.2, 0.23):
        found = verdict(claim, {"ludp": ludp, "mf": 0.1, "lattice": 0.2}, luck=LUCK)
        assert found.verdict == "not decidable here"
    assert found.contrasts["recall@10"][1].relative_low > 0.06  # the paper prints 5.33 %
    assert verdict(claim, {"ludp": 0.2002, "mf": 0.1, "lattice": 0.2}).verdict == "does not hold"


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ((0.1, 0.3, 0.2, 0.1), "holds"),
        ((0.1, 0.2, 0.3, 0.4), "does not hold"),
        ((0.4, 0.3, 0.2, 0.1), "does not hold"),
        ((0.2, 0.2, 0.2, 0.2), "not decidable here"),
        ((0.2, 0.3, 0.3, 0.3), "not decidable here"),
    ],
)
def test_a_rise_and_fall_has_an_inner_row_above_both_ends(
    verdict: Any, paper: Any, heights: Any, expected: str
) -> None:
    labels = [f"ludp@k={k}" for k in (5, 10, 20, 50)]
    found = verdict(claim_of("peak", labels), dict(zip(labels, heights, strict=True)))
    assert found.verdict == expected
    if expected == "holds":
        assert re.match(r"R@10 k 10 vs\. 5 \+.* and k 10 vs\. 50 \+", our_words(found, paper))


def test_rows_differ_if_two_of_them_do(verdict: Any) -> None:
    labels = [f"ludp@modality={name}" for name in ("visual", "acoustic", "textual")]
    claim = claim_of("differ", labels)
    assert verdict(claim, dict(zip(labels, (0.2, 0.2, 0.3), strict=True))).verdict == "holds"
    assert verdict(claim, dict.fromkeys(labels, 0.2)).verdict == "not decidable here"


def test_many_differences_are_counted_and_the_weakest_is_shown(verdict: Any, paper: Any) -> None:
    found = verdict(
        claim_of("above", ["ludp"], ["mf", "vbpr", "grcn"]), {"ludp": 0.3, "mf": 0.1, "vbpr": 0.2, "grcn": 0.5}
    )
    words = our_words(found, paper)
    assert words.startswith(
        "2 of 3 differences as claimed, 2 significantly, 1 significantly the other way; weakest: "
    )
    assert re.search(r"R@10 LUDP vs\. GRCN -4\d\.\d% \[-4\d\.\d%, -[34]\d\.\d%\], p <0\.001$", words)


def test_a_call_without_runs_has_every_row_and_no_number(
    paper: Any, make_facts: Any, claims: Any, tmp_path: Any
) -> None:
    facts = [make_facts(), make_facts("baby")]
    material = Material({}, ["mf"], [], 3, paper, ResultsStore(tmp_path), recorded=facts)
    table = claims_table(material, list(claims.values()))
    counts = [len(block.rows) for block in table.blocks]
    assert counts == []  # nothing is decided: a count instead of rows
    n = sum(claim.is_about("tiktok") for claim in claims.values())
    assert table.caption.startswith(
        f"tiktok [real, random split]: of {n} claims 0 hold, 0 do not hold and {n} are open: no difference is "
        f"significant, or runs are missing. baby"
    )
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert len(rows) == n + sum(claim.is_about("baby") for claim in claims.values())
    assert {row["difference"] for row in rows} == {""}
    assert {row["verdict"] for row in rows} == {"not decidable here"}
    assert "| LUDP" not in to_markdown(table)
    material = replace(material, n_seeds=1)
    material.__dict__["facts"] = facts
    assert "open: 1 seed, 3 needed." in claims_table(material, list(claims.values())).caption
    assert "tabular" not in to_latex(table)


def test_decided_claims_come_by_verdict_and_open_ones_after_them(
    paper: Any, make_facts: Any, make_record: Any, tmp_path: Any
) -> None:
    facts, store, records = make_facts(), ResultsStore(tmp_path), []
    for label, mean in {"ludp": 0.5, "mf": 0.3, "grcn": 0.7}.items():
        noise = 0.01 * np.random.default_rng(round(10 * mean)).standard_normal(N_USERS)
        for seed in range(3):
            means = dict.fromkeys(COMPARED, float(np.mean(mean + noise)))
            record = make_record(label, seed, means, facts, n_users=N_USERS)
            lists = TopK(np.arange(N_USERS), np.zeros((N_USERS, TOPK_DEPTH), dtype=np.int64), 0)
            store.write_topk(record.key, lists, dict.fromkeys(COMPARED, mean + noise))
            records.append(record)
    material = Material({}, ["ludp", "mf", "grcn"], records, 3, paper, store, recorded=[facts])
    claims = [
        claim_of("above", ["ludp"], ["grcn"], id="a"), claim_of("above", ["ludp"], ["lattice"], id="b"),
        claim_of("above", ["ludp"], ["mf"], id="c"),
    ]  # fmt: skip
    table = claims_table(material, claims)
    assert "of 3 claims 1 hold, 1 do not hold and 1 are open." in table.caption
    decided, undecided = table.blocks
    shown = [(row.cells[0].text, row.cells[0].tone, row.ruled) for row in decided.rows]
    assert shown == [("holds", "good", False), ("does not hold: in R@10", "bad", True)]
    assert [(row.cells[0].text, row.cells[0].tone) for row in undecided.rows] == [
        ("open: runs are missing", "open")
    ]  # fmt: skip
    latex = to_latex(table)
    assert "\\begin{table}" not in latex
    assert latex.count("\\begin{longtable}{p{\\dimexpr 0.13\\linewidth-2\\tabcolsep\\relax}") == 2
    assert latex.count("\\endhead") == 2


def test_a_claim_is_decided_on_the_papers_split_alone(
    paper: Any, make_facts: Any, claims: Any, tmp_path: Any
) -> None:
    shipped = make_facts("tiktok@shipped", split="shipped", split_hash="9" * 16)
    material = Material({}, ["mf"], [], 3, paper, ResultsStore(tmp_path))
    for both in ([shipped, make_facts()], [make_facts(), shipped]):
        material.__dict__["facts"] = both
        table = claims_table(material, list(claims.values()))
        n = sum(claim.is_about("tiktok") for claim in claims.values())
        assert table.caption.startswith(f"tiktok [real, random split]: of {n} claims")
        assert "shipped" not in table.caption
        assert {row["dataset"] for row in csv.DictReader(io.StringIO(to_csv(table)))} == {"tiktok"}
        (note,) = [note for note in table.notes if note.startswith("tiktok [real, shipped split]")]
        assert "no verdicts" in note
        assert "decided on tiktok [real, random split] alone" in note
    material.__dict__["facts"] = [shipped]
    alone = claims_table(material, list(claims.values()))
    assert alone.caption.startswith(f"tiktok [real, shipped split]: of {n} claims")
    assert any("the paper splits at random" in note and "tiktok@random" in note for note in alone.notes)
    material.__dict__["facts"] = [make_facts()]
    assert not any("splits at random" in note for note in claims_table(material, list(claims.values())).notes)


@pytest.mark.parametrize(
    ("old", "new", "error", "complaint"),
    [
        (
            "those: [ngcf]",
            "those: [ngfc]",
            UsageError,
            r"row of the claim 'lightgcn-best-cf' 'ngfc'\. Did you mean 'ngcf'",
        ),
        ("  those: [ngcf]\n", "", ConfigError, "the claim 'lightgcn-best-cf' lacks 'those'"),
        ("id: ludp-best", "id: improvement", ConfigError, "'improvement' occurs twice"),
        ("metrics: [recall@10]", "metrics: [recall@12]", UsageError, "recall@12"),
        ("datasets: [movielens]", "datasets: [movielense]", UsageError, "movielense"),
        ("rule: peak", "rule: peek", ConfigError, "peak"),
        ("margin_percent: 5", "margin: 5", ConfigError, "margin"),
        ("reason: the paper's data are not public", "reason: ''", ConfigError, "'movielens-10m' lacks 'reason'"),
    ],
)
def test_a_damaged_ledger_is_refused(
    tmp_path: Any, paper: Any, old: str, new: str, error: Any, complaint: str
) -> None:
    text = CLAIMS_FILE.read_text(encoding="utf-8")
    assert old in text
    damaged = tmp_path / "claims.yaml"
    damaged.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(error, match=complaint):
        load_claims(paper, damaged)


@pytest.mark.parametrize(
    "claim",
    [
        claim_of("close", ["ludp"], ["mf"], margin_percent=5),
        claim_of("above", ["ludp"], ["mf"]),
        claim_of("mean_above", ["ludp"], ["mf"]),
        claim_of("differ", ["ludp", "mf"]),
        claim_of("gain", ["ludp"], ["mf"], datasets=["tiktok"]),
    ],
    ids=lambda claim: claim.rule,
)
def test_a_metric_that_cannot_tell_rows_apart_decides_nothing(paper: Any, make_facts: Any, claim: Claim) -> None:
    same = dict.fromkeys(COMPARED, np.ones((2, 3, N_USERS)))  # a list holds all candidates: every user has 1
    scores = UserScores(make_facts(), ("ludp", "mf"), N_USERS, same, {})
    found = judge(claim, scores, scores.resamples(20), paper)
    assert found.verdict == "not decidable here"
    assert found.reason == "R@10 cannot tell rows apart: the interval of a difference has no width"


def test_a_list_that_holds_all_candidates_is_noted(paper: Any, make_facts: Any) -> None:
    few = make_facts(n_users=50, n_items=12, n_train=250, n_valid=50)
    (note,) = (each for each in data_notes(few, "f24 [real]", paper) if "candidates" in each)
    assert "a user has 6.0 candidates on average" in note
    assert not any("candidates" in each for each in data_notes(make_facts(), "tiktok [real]", paper))
