"""Claims on critics: that they move a student's answers as a set, and that they keep peers apart."""

from __future__ import annotations

from dataclasses import replace

from kdcore.claims.evidence import gap, values
from kdcore.claims.types import Claim, Records, Verdict
from kdcore.entry import Entry
from kdcore.experiments.adversarial import ADVERSARIAL, SEEDS, SIZES, TOGETHER
from kdcore.experiments.types import Experiment, Row

BOTH = 0.975  # level of each of two intervals that are to hold together at 95 %


def in_full(row: Row) -> Row:
    """A row as it was published: a weight that a search chose for accuracy says little of what a game does."""
    return replace(row, under={}, search={})


# ---------------------------------------------------------------- the teacher's distribution


def nearer_as_a_set(records: Records) -> Verdict:
    """Against a critic the set of answers comes nearer to the teacher's than without, and than by softened answers."""
    game, plain, soft = (values(records, f"{row}-gap", "as_a_set") for row in ("gan-kd", "student", "kd"))
    over_nothing, over_soft = gap(plain, game, level=BOTH), gap(soft, game, level=BOTH)
    each = {row: values(records, f"{row}-gap", "one_by_one") for row in ("gan-kd", "kd")}
    means = {row: sum(found.values()) / len(found) for row, found in each.items()}
    because = (
        f"in hundredths of the distance between two of the teacher's answers, the set comes nearer than that of labels "
        f"alone by {over_nothing}, than that of softened answers by {over_soft}; image by image the answers lie "
        f"{means['gan-kd']:.2f} such distances from the teacher's, with softened answers {means['kd']:.2f}"
    )
    if over_nothing.above and over_soft.above:
        return Verdict("supported", because)
    if over_nothing.below or over_soft.below:
        return Verdict("contradicted", because)
    return Verdict("undecided", because)


def answers_of(row: str) -> Row:
    """What lies between the teacher's answers and those of a student that the chapter's comparison trains."""
    return Row(
        f"{row}-gap",
        measure="kdcore.experiments.measures.adversarial:answers_gap",
        settings={"learner": {"experiment": "gan-distribution", "row": row}},
        source="huang2022 section 6.1",
    )


TRAINED = tuple(in_full(ADVERSARIAL.row(key)) for key in ("student", "kd", "gan-kd"))
ANSWERS = Experiment(
    "gan-distribution",
    "How near a student's answers come to its teacher's as a set",
    rows=(*TRAINED, *(answers_of(row.key) for row in TRAINED)),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="adversarial",
)

DISTRIBUTION = Claim(
    "gan-distribution",
    statement="Against a critic, a student learns the distribution of its teacher's answers better than from labels "
    "alone and better than from softened answers.",
    by="huang2022 section 6.1 and Table 4, of features; answers are the features that both networks have in one space",
    against="An energy distance between both sets of answers that is larger than that of a student of labels alone or "
    "of one of softened answers (paired, 97.5 % each).",
    experiment=ANSWERS,
    rule=nearer_as_a_set,
)

# ---------------------------------------------------------------- peers


def keeps_peers_apart(records: Records) -> Verdict:
    """With the game two peers disagree more often than without it."""
    with_game, without = (
        values(records, row, "disagreement") for row in ("online-adversarial-kd", "online-without-game")
    )
    apart = gap(with_game, without)
    share = sum(without.values()) / len(without)
    because = f"peers disagree about {100 * share:.1f} % of the images without the game, which changes that by {apart}"
    if apart.above:
        return Verdict("supported", because)
    return Verdict("contradicted" if apart.below else "undecided", because)


PEERS = replace(
    TOGETHER,
    key="online-critics-diversity",
    title="How often peers disagree with a game and without",
    rows=tuple(in_full(TOGETHER.row(key)) for key in ("online-without-game", "online-adversarial-kd")),
)

DIVERSITY = Claim(
    "online-critics-diversity",
    statement="Critics of the peers' maps keep the peers diverse: with them, two peers choose different answers more "
    "often than without.",
    by="si2023 section 2.3.5, of Chung 2020 (errata S-13: the critics make the distributions of maps agree)",
    against="Fewer images about which the peers disagree with the game than with mutual learning alone (paired, 95 %).",
    experiment=PEERS,
    rule=keeps_peers_apart,
)

EXPERIMENTS = (ANSWERS, PEERS)

ENTRIES = (
    Entry("gan-distribution", "mechanism", DISTRIBUTION, {}, "huang2022 section 6.1"),
    Entry("online-critics-diversity", "mechanism", DIVERSITY, {}, "si2023 section 2.3.5"),
)
