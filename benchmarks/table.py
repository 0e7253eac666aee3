"""What is compared: a line a loss, with shapes as they occur, our call of it and how each peer calls its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from calls import (
    NEGATIVES,
    PROJECTION,
    SAMPLES,
    Call,
    Given,
    PeerCall,
    called,
    doubted,
    each_stage,
    in_graph,
    io_of_stages,
    labelled,
    lists,
    made,
    memory_of,
    neighbouring,
    neighbouring_pairs,
    neighbours,
    our,
    our_margins,
    our_memory,
    read,
    read_banks,
    regressed,
    stage_by_stage,
    stage_pairs,
    with_margins,
)

CLASSES = 100
STAGES = ((16, 32), (32, 16), (64, 8))  # channels and width of ResNet-20's and ResNet-56's stages
VARIANCE = math.log(math.expm1(5 - 1e-5))  # from which a variance of 5 is made, where the peers start

Make = Callable[[int, torch.device], Given]


@dataclass(frozen=True)
class Line:
    """One loss at one shape.

    Attributes:
        loss: its name in `kdcore.losses`.
        shape: in words.
        given: makes the tensors for a batch size.
        ours: our call.
        peers: each peer's, by name.
        gains: how far below a peer the floor was measured to lie at both batch sizes, where that is above four.
    """

    loss: str
    shape: str
    given: Make
    ours: Call
    peers: Mapping[str, PeerCall]
    gains: Mapping[str, tuple[float, float]] = field(default_factory=dict)


# ---------------------------------------------------------------- tensors


def tensors(*shapes: tuple[int, ...]) -> Make:
    """Both networks' tensors of these shapes, an example each, normal numbers from one seed; labels beside them."""

    def make(batch: int, device: torch.device) -> Given:
        random = torch.Generator().manual_seed(0)
        draw = lambda shape: torch.randn(batch, *shape, generator=random).to(device)
        student, teacher = ([draw(shape) for shape in shapes] for _ in range(2))
        labels = torch.randint(CLASSES, (batch,), generator=random).to(device)
        return Given([one.requires_grad_() for one in student], teacher, {"labels": labels})

    return make


def maps(channels: int) -> Make:
    return tensors((channels, 8, 8))


def learned(make: Make, value: float = 0.0, **shapes: tuple[int, ...]) -> Make:
    """The same, and parameters of the loss; a size of 0 stands for the batch."""

    def made(batch: int, device: torch.device) -> Given:
        given = make(batch, device)
        for name, shape in shapes.items():
            whole = tuple(size or batch for size in shape)
            given.more[name] = torch.full(whole, value, device=device, requires_grad=True)
        return given

    return made


def banked(batch: int, device: torch.device) -> Given:
    """Projections, banks of the size of CIFAR, and rows that were drawn beforehand."""
    random = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(batch, PROJECTION, generator=random).to(device) for _ in range(2))
    own = torch.randperm(SAMPLES, generator=random)[:batch].to(device)
    others = torch.randint(SAMPLES, (batch, NEGATIVES), generator=random).to(device)
    banks = [F.normalize(torch.randn(SAMPLES, PROJECTION, generator=random)).to(device) for _ in range(2)]
    more = {"own": own, "others": others, "students": banks[0], "teachers": banks[1]}
    return Given([student.requires_grad_()], [teacher.requires_grad_()], more)


LOGITS, VECTORS, SHORT_VECTORS = tensors((CLASSES,)), tensors((512,)), tensors((64,))
STAGED = tensors(*((channels, width, width) for channels, width in STAGES))
GRAPH = tensors((CLASSES,), (32, 16, 16), (64, 8, 8), (64,))

# ---------------------------------------------------------------- the lines

REP, MD, KD_ZOO, TD = "RepDistiller", "mdistiller", "KD-Zoo", "torchdistill"
rep = lambda file, name, *settings, **named: made(f"distiller_zoo.{file}", name, *settings, **named)
md = lambda file, name, *settings, **named: called(f"mdistiller.distillers.{file}", name, *settings, **named)
zoo = lambda file, name, *settings, **named: made(f"kd_losses.{file}", name, *settings, **named)
IO = ("m", "output", "m", "output")
SOFT = {"alpha": 0.0, "beta": 1.0}  # torchdistill then leaves the squared temperature out
AB_WEIGHTS = tuple(3 / 1000 * 2.0 ** (n - 2) for n in range(3))


FSP_SHAPES = [(1, channels, width, width) for channels, width in STAGES]
LINES = (
    Line("kd_loss", "logits", LOGITS, our("kd_loss"), {
        REP: rep("KD", "DistillKL", 4.0), MD: md("KD", "kd_loss", 4.0), KD_ZOO: zoo("st", "SoftTarget", 4.0),
        TD: read("KDLoss", *IO, temperature=4.0, **SOFT)}),
    Line("logit_mse_loss", "logits", LOGITS, our("logit_mse_loss"), {KD_ZOO: zoo("logits", "Logits")}),
    Line("dkd_loss", "logits", LOGITS, our("dkd_loss", "labels"), {
        MD: md("DKD", "dkd_loss", 1.0, 8.0, 4.0, how=labelled)}),
    Line("logit_std_loss", "logits", LOGITS, our("logit_std_loss"), {
        TD: read("LogitStdKDLoss", *IO, temperature=2.0, **SOFT)}),
    Line("dist_loss", "logits", LOGITS, our("dist_loss"), {TD: read("DISTLoss", *IO, tau=4.0)}),
    Line("pad_loss", "vectors of 512", learned(VECTORS, doubt=(0, 512)), our("pad_loss", "doubt"), {
        TD: read("PADL2Loss", "m", "m", out=doubted)}),
    *(Line("fitnet_loss", f"maps {size} x 8 x 8", maps(size), our("fitnet_loss", form="mean"), {
        REP: rep("FitNet", "HintLoss"), KD_ZOO: zoo("fitnet", "Hint")}) for size in (64, 256)),
    Line("at_loss", "three stages", STAGED, each_stage("at_loss", form="mean-square"), {
        REP: rep("AT", "Attention", 2, how=lists), MD: md("AT", "at_loss", 2, how=lists),
        KD_ZOO: stage_by_stage("kd_losses.at", "AT", 2),
        TD: read("ATLoss", out=io_of_stages, at_pairs=stage_pairs(), mode="code")}),
    *(Line("sp_loss", f"maps {size} x 8 x 8", maps(size), our("sp_loss"), {
        REP: rep("SP", "Similarity", how=lists), MD: md("SP", "sp_loss", how=lists), KD_ZOO: zoo("sp", "SP"),
        TD: read("SPKDLoss", "m", "m", "batchmean")}) for size in (64, 256)),
    Line("cc_loss", "vectors of 512", VECTORS, our("cc_loss"), {
        KD_ZOO: zoo("cc", "CC", 0.4, 2),
        TD: read("CCKDLoss", "m", "m", {"type": "gaussian", "gamma": 0.4, "max_p": 2}, "batchmean")},
        {TD: (14.0, 20.0)}),
    *(Line("rkd_loss", f"vectors of {size}", make, our("rkd_loss"), {
        REP: rep("RKD", "RKDLoss"), MD: md("RKD", "rkd_loss"), KD_ZOO: zoo("rkd", "RKD", 25, 50),
        TD: read("RKDLoss", "m", "m", 25.0, 50.0, "mean")}, gains)
      for size, make, gains in (
          (512, VECTORS, dict.fromkeys((REP, MD, KD_ZOO, TD), (8.0, 18.0))), (64, SHORT_VECTORS, {}))),
    Line("pkt_loss", "vectors of 512", VECTORS, our("pkt_loss", form="mean"), {
        REP: rep("PKT", "PKT"), MD: md("PKT", "pkt_loss"), KD_ZOO: zoo("pkt", "PKTCosSim"),
        TD: read("PKTLoss", *IO)}),
    *(Line("vid_loss", f"maps {size} x 8 x 8", make, our("vid_loss", "variance"), {
        REP: rep("VID", "VIDLoss", size, size, size), MD: md("VID", "vid_loss", how=regressed),
        KD_ZOO: zoo("vid", "VID", size, size, size, 5.0)})
      for size in (64, 256) for make in (learned(maps(size), VARIANCE, variance=(size,)),)),
    Line("ab_loss", "three stages", STAGED, each_stage("ab_loss", AB_WEIGHTS), {
        REP: rep("AB", "ABLoss", 3, how=lists), KD_ZOO: stage_by_stage("kd_losses.ab", "AB", 1.0),
        TD: read("AltActTransferLoss", stage_pairs(AB_WEIGHTS), 1.0, "mean", out=io_of_stages)}),
    *(Line("ofd_loss", f"maps {size} x 8 x 8", maps(size), our_margins, {
        MD: md("OFD", "feat_loss", how=with_margins)}) for size in (64, 256)),
    # RepDistiller's averages the squares of all channels first, which is another loss, of a map.
    Line("factor_transfer_loss", "maps 64 x 8 x 8", maps(64), our("factor_transfer_loss"), {
        KD_ZOO: zoo("ft", "FT"),
        TD: read("FTLoss", paraphraser_path="m", translator_path="m")}),
    Line("reviewkd_loss", "maps 256 x 8 x 8", maps(256), our("reviewkd_loss"), {
        MD: md("ReviewKD", "hcl_loss", how=lists),
        TD: read("HierarchicalContextLoss", "m", "both", "m", "output", out=lambda given: (
            {"m": {"both": (given.student[0], None)}}, {"m": {"output": given.teacher[0]}}))}),
    *(Line("nst_loss", shape, make, ours, {
        REP: rep("NST", "NSTLoss", how=lists), MD: md("NST", "nst_loss", how=lists),
        KD_ZOO: stage_by_stage("kd_losses.nst", "NST")}, dict.fromkeys((REP, MD, KD_ZOO), gain))
      for shape, make, ours, gain in (
          ("maps 64 x 8 x 8", maps(64), our("nst_loss"), (34.0, 61.0)),
          ("maps 256 x 8 x 8", maps(256), our("nst_loss"), (335.0, 344.0)),
          ("three stages", STAGED, each_stage("nst_loss"), (31.0, 24.0)))),
    Line("fsp_loss", "three stages", STAGED, neighbours("fsp_loss", form="mean", pooling="average"), {
        REP: rep("FSP", "FSP", FSP_SHAPES, FSP_SHAPES, how=lists),
        KD_ZOO: neighbouring("kd_losses.fsp", "FSP"),
        TD: read("FSPLoss", neighbouring_pairs(), out=io_of_stages)}, {REP: (5.0, 15.0)}),
    Line("kdsvd_loss", "three stages", STAGED, neighbours("kdsvd_loss"), {
        REP: rep("KDSVD", "KDSVD", 1, how=lists), MD: md("KDSVD", "kdsvd_loss", 1, how=lists)}),
    Line("irg_loss", "answer, two maps, embedding", GRAPH, our("irg_loss"), {
        KD_ZOO: zoo("irg", "IRG", 0.1, 5, 5, how=in_graph)}),
    Line("crd_loss", "vectors of 128, 50,000 rows, 16,384 negatives", banked, our_memory, {
        REP: memory_of("crd.memory", "crd.criterion", ("memory_v1", "memory_v2")),
        MD: memory_of("mdistiller.distillers.CRD", "mdistiller.distillers.CRD", ("memory_v1", "memory_v2")),
        KD_ZOO: memory_of("kd_losses.crd", "kd_losses.crd", ("memory_s", "memory_t"), alias=False),
        TD: read_banks}, dict.fromkeys((REP, MD, KD_ZOO, TD), (14.0, 12.0))),
)  # fmt: skip
