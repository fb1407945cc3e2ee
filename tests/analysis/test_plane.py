"""Reading evaluations, the Pareto front against its definition, and the command."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmrf_blocks.analysis import (
    Axis,
    EvaluationError,
    Point,
    Score,
    draw_plane,
    higher_is_better,
    pareto_front,
    plane_rows,
    read_evaluations,
)
from pmrf_blocks.analysis.plane import to_csv
from pmrf_blocks.cli import main
from pmrf_blocks.metrics import METRICS, Evaluation, find_protocol
from pmrf_blocks.metrics import evaluation as metrics
from pmrf_blocks.metrics.report import render

PSNR, FID = Axis("psnr", higher=True), Axis("fid", higher=False)


def point(name, psnr, fid, **options):
    return Point(name, {"psnr": Score(psnr), "fid": Score(fid)}, **options)


def write(path, content):
    path.write_text(json.dumps(content))
    return path


@given(values=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_dominates(values):
    points = [point(str(i), x, y) for i, (x, y) in enumerate(values)]

    def dominated(p):
        x, y = p.scores["psnr"].value, p.scores["fid"].value
        others = [(q.scores["psnr"].value, q.scores["fid"].value) for q in points]
        return any(a >= x and b <= y and (a, b) != (x, y) for a, b in others)

    assert {p.name for p in pareto_front(points, PSNR, FID)} == {p.name for p in points if not dominated(p)}


def test_the_papers_table_4():
    rows = {"GFP-GAN": (24.9861, 14.8021), "CodeFormer": (25.1464, 15.3959), "ResShift": (26.0359, 19.1850),
            "PMRF": (26.3321, 10.7225), "PMRF*": (26.6431, 15.1663), "Latent-PMRF": (26.3887, 10.9447)}  # fmt: skip
    front = pareto_front([point(name, *values) for name, values in rows.items()], PSNR, FID)
    assert [p.name for p in front] == ["PMRF*", "Latent-PMRF", "PMRF"]


def test_references_do_not_compete():
    points = [point("vae", 40, 1, reference=True), point("a", 26, 10), point("b", 25, 12)]
    assert [p.name for p in pareto_front(points, PSNR, FID)] == ["a"]
    assert [row["front"] for row in plane_rows(points, PSNR, FID)] == ["reference", "yes", ""]


@pytest.mark.parametrize(
    ("name", "higher"),
    [("psnr", True), ("PSNR", True), ("val_psnr_degraded", True), ("MS-SSIM", True), ("ms_ssim", True),
     ("CLIP-IQA", True), ("q_align", True), ("fid-dinov2", False), ("FID", False), ("val_loss", False),
     ("mmd_dinov2", False), ("ind_rmse", False), ("IndRMSE", False), ("lmd", False), ("mse_ratio", False)],
)  # fmt: skip
def test_directions(name, higher):
    assert higher_is_better(name) is higher


def test_an_unknown_direction_is_asked_for():
    with pytest.raises(ValueError, match="--higher beauty or --lower beauty"):
        higher_is_better("beauty")
    assert higher_is_better("beauty", higher=("beauty",))
    assert not higher_is_better("psnr", lower=("psnr",))


def evaluation(*methods, protocol="celeba-test"):
    """As `pmrf-blocks evaluate --format json` writes it."""
    entries = [{"method": name, "folder": "x", "images": 9, "scores": scores, **more} for name, scores, more in methods]
    return {"protocol": {"name": protocol, "crop": None, "hash": "ab12"}, "seed": 0, "methods": entries}


def test_an_evaluation_is_read(tmp_path):
    scores = {
        "psnr": {"label": "PSNR", "better": "higher", "value": 26.5, "images": 9},
        "fid": {"label": "FID", "better": "lower", "value": 11.0, "images": 9, "interval": [10.0, 12.5]},
        "niqe": {"label": "NIQE", "better": "lower", "not_available": "install pyiqa"},
        "ssim": {"label": "SSIM", "better": "higher", "value": "inf", "images": 9},
    }
    path = write(tmp_path / "ours.json", evaluation(("restored", scores, {"nfe": 25})))
    (read,) = read_evaluations(str(path))
    assert read == Point(
        "restored",
        {"psnr": Score(26.5, higher=True), "fid": Score(11.0, 10.0, 12.5, higher=False)},
        25,
        protocol="celeba-test ab12",
    )
    assert read_evaluations(f"Ours=@5={path}")[0].label == "Ours=, 5 NFE"
    assert read_evaluations(f"Ours@home={path}")[0].label == "Ours@home, 25 NFE"
    by_hand = {"methods": [{"method": n, "scores": {"psnr": 1, "fid": None}, "reference": n == "b"} for n in "ab"]}
    both = write(tmp_path / "both.json", by_hand)
    assert read_evaluations(str(both)) == [
        Point("a", {"psnr": Score(1.0)}),
        Point("b", {"psnr": Score(1.0)}, None, True),
    ]
    with pytest.raises(EvaluationError, match="holds 2 methods"):
        read_evaluations(f"X={both}")


def test_what_evaluate_writes_is_read(tmp_path):
    measured = Evaluation(
        method="restored", folder="x", protocol=find_protocol("celeba-test"), names=["a", "b"], per_image={},
        scores={
            "psnr": metrics.Score(25.0, (24.0, 26.0), 2), "lpips": metrics.Score(unavailable="install pyiqa"),
            "fd_efficientnet_lite0": metrics.Score(3.5, None, 2),
        },
    )  # fmt: skip
    (tmp_path / "e.json").write_text(render([measured], "json", {"seed": 0}))
    (read,) = read_evaluations(str(tmp_path / "e.json"))
    assert read.scores == {
        "psnr": Score(25.0, 24.0, 26.0, higher=True), "fd_efficientnet_lite0": Score(3.5, higher=False)
    }  # fmt: skip
    assert read.protocol == f"celeba-test {find_protocol('celeba-test').digest}"
    assert main(["plane", str(tmp_path / "e.json")]) == 0


@pytest.mark.parametrize("name", METRICS)
def test_directions_are_those_of_the_metrics(name):
    assert higher_is_better(name) is (METRICS[name].better == "higher")


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read"), ("3", "is no evaluation"), ("[]", "is no evaluation"),
     ('{"methods": []}', "holds no method"), ('{"methods": [{"method": "a"}]}', "needs 'method' and 'scores'"),
     ('{"methods": [{"method": "a", "scores": {}, "nfe": "many"}]}', "nfe must be"),
     ('{"table": {"latent": 3}}', "bundled_results")],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path, content, message):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(EvaluationError, match=rf"bad\.json.*{message}"):
        read_evaluations(str(tmp_path / "bad.json"))
    with pytest.raises(EvaluationError, match="no such file"):
        read_evaluations(str(tmp_path / "absent.json"))


def results():
    """As docs/make/bundled_results.py writes it."""

    def row(psnr, fd):
        return {"psnr": {"mean": psnr, "sd": 0.5}, "fd": {"mean": fd, "sd": 0.0}}

    sweep = [
        {
            "source_noise": noise,
            "steps": steps,
            "milliseconds": 3.0,
            "psnr": 26 - 0.02 * steps - noise,
            "fd": 90 - steps,
        }
        for noise in (0.0, 0.1)
        for steps in (25, 1, 5)
    ]
    return {
        "labels": {"latent": "Latent-PMRF", "mean": "posterior mean"},
        "table": {"mean": row(27, 100), "latent": row(25.5, 65), "vae": row(33, 30)},
        "sweep": sweep,
    }


def test_results_of_the_bundled_model_are_read(tmp_path):
    points = read_evaluations(str(write(tmp_path / "bundled.json", results())))
    assert [p.label for p in points[:3]] == ["posterior mean", "Latent-PMRF", "vae"]
    assert points[0].scores["psnr"] == Score(27.0, 26.5, 27.5)
    assert [p.reference for p in points[:4]] == [False, False, True, False]
    assert points[3].label == "Latent-PMRF, noise 0, 25 NFE"
    assert "milliseconds" not in points[3].scores


def test_the_figure_joins_a_method_in_the_order_of_its_nfe(tmp_path):
    points = read_evaluations(str(write(tmp_path / "bundled.json", results())))
    (axes,) = draw_plane(points, PSNR_FD[0], PSNR_FD[1]).axes
    curves = [line for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 3]
    assert [list(line.get_ydata()) for line in curves] == [[89, 85, 65], [89, 85, 65]]
    assert axes.xaxis_inverted()
    assert not axes.yaxis_inverted()
    assert {text.get_text() for text in axes.texts} == {"1", "5", "25"}


PSNR_FD = (PSNR, Axis("fd", higher=False))


def test_command(tmp_path, capsys):
    a = write(tmp_path / "a.json", evaluation(("A", {"psnr": 26, "fid": 12, "odd": 1}, {})))
    b = write(tmp_path / "b.json", evaluation(("B", {"psnr": 25, "fid": 14, "odd": 2}, {})))
    outputs = [tmp_path / "new" / f"plane{suffix}" for suffix in (".png", ".svg", ".csv", ".md")]
    line = ["plane", str(a), f"Other|B={b}", "--output", *map(str, outputs)]
    assert main(line) == 0
    out = capsys.readouterr().out
    assert out == outputs[3].read_text()
    assert "| A |  | 26 | 12 | yes |" in out
    assert "| Other\\|B |  | 25 | 14 |  |" in out
    assert outputs[2].read_text().splitlines() == ["method,nfe,psnr,fid,front", "A,,26,12,yes", "Other|B,,25,14,"]
    assert outputs[0].read_bytes().startswith(b"\x89PNG")
    before = outputs[1].read_bytes()
    assert main(line) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*line, "--overwrite"]) == 0
    assert outputs[1].read_bytes() == before
    assert capsys.readouterr().err == ""
    assert main(["plane", str(a), str(b), "--style", "paper", "-o", str(tmp_path / "plane.pdf")]) == 0
    assert b"/MediaBox [ 0 0 241.2 " in (tmp_path / "plane.pdf").read_bytes()
    assert main(["plane", str(a), str(b), "--perception", "odd", "--higher", "odd", "--without", "A"]) == 0
    assert "B" in capsys.readouterr().out


def test_files_say_which_way_is_better_and_how_they_were_measured(tmp_path, capsys):
    score = {"value": 3.0, "better": "higher"}
    a = str(write(tmp_path / "a.json", evaluation(("A", {"psnr": 26, "odd": score}, {}))))
    b = str(write(tmp_path / "b.json", evaluation(("B", {"psnr": 26, "odd": 4.0}, {}), protocol="other")))
    assert main(["plane", a, b, "--perception", "odd"]) == 0
    captured = capsys.readouterr()
    assert "| A |  | 26 | 3 |  |" in captured.out
    assert "| B |  | 26 | 4 | yes |" in captured.out
    assert "2 protocols, do not compare: celeba-test ab12; other ab12" in captured.err
    assert main(["plane", a, b, "--perception", "odd", "--lower", "odd"]) == 0
    assert "| A |  | 26 | 3 | yes |" in capsys.readouterr().out


def test_command_says_what_it_cannot_do(tmp_path, capsys):
    a = write(tmp_path / "a.json", evaluation(("A", {"psnr": 26, "fid": 12}, {})))
    b = write(tmp_path / "b.json", evaluation(("B", {"psnr": 25}, {})))
    assert main(["plane", str(a), str(b)]) == 1
    captured = capsys.readouterr()
    assert "skipped B: no fid" in captured.err
    assert "| A |" in captured.out
    for line, message in (
        ([str(b)], "none of fid"),
        ([str(a), "--perception", "mmd"], "no method has both psnr and mmd; there are: fid, psnr"),
        ([str(a), "--perception", "odd"], "--lower odd"),
        ([str(a), "--without", "Z"], "no such method; there are: A"),
        ([str(a), "--output", "plane.doc"], "suffix must be one of"),
        ([str(tmp_path / "none.json")], "no such file"),
    ):
        assert main(["plane", *line]) == 2
        assert message in capsys.readouterr().err


def test_tables_need_no_matplotlib(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    a = str(write(tmp_path / "a.json", evaluation(("A", {"psnr": 26, "fid": 12}, {}))))
    assert main(["plane", a, "--output", str(tmp_path / "t.csv")]) == 0
    assert main(["plane", a, "--output", str(tmp_path / "t.png")]) == 2
    assert "pmrf-blocks[plots]" in capsys.readouterr().err
    assert to_csv([{"a": "1"}]) == "a\n1\n"
