"""The page and figure that theory.py writes: tables, and in plain sentences what the numbers say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pmrf_blocks.plotting import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


def sentences(result: dict[str, Any]) -> list[str]:
    """What the numbers say, each sentence built from them."""
    last, originals = result["theorem_2"][-1], result["reconstruction_of_originals"]
    residual = max(row["residual"] for row in result["theorem_2"])
    share = last["reconstruction"] / last["total"]
    encoder = result["isometry"]["encoder, two faces"]
    pooled = result["isometry"]["block mean instead, two faces"]
    travel = result["isometry"]["encoder, face and its posterior mean"]
    cross = last["cross"]
    text = [
        f"Theorem 2 is an identity and holds to rounding: the largest relative miss is {residual:.0e}.",
        f"The inherent reconstruction error is {100 * share:.0f} % of |X\\* - X^|^2 at {last['steps']} steps. "
        f"Posterior means are reconstructed {_compared(originals, last['reconstruction'], 'better', 'worse')} than "
        f"originals: {1e3 * last['reconstruction']:.2f} against {1e3 * originals:.2f} (both x 1000).",
        f"The inner product is {'negative' if last['inner'] < 0 else 'positive'}: the flow "
        + (
            "partly undoes what the autoencoder loses of the posterior mean, so that the terms' plain sum "
            "overstates the total."
            if last["inner"] < 0
            else "moves on in the direction in which the autoencoder already errs."
        ),
        f"Eq. 4's cross term is {1e3 * cross:.2f} +- {1e3 * last['cross_error']:.2f} (x 1000, standard error): "
        + (
            "not distinguishable from zero, as for a true posterior mean."
            if abs(cross) < 2 * last["cross_error"]
            else "not zero, so the estimator is not the posterior mean of these data"
            + (", and what the flow adds points towards the originals." if cross < 0 else ".")
        ),
        f"The autoencoder is not an isometry: between two faces the ratio of distances varies by a factor of "
        f"{encoder['distortion']:.2f} in all (defect {encoder['defect']:.3f}; the mean of blocks of pixels has "
        f"{pooled['defect']:.3f}), and from a face to its posterior mean by {travel['distortion']:.2f} "
        f"(defect {travel['defect']:.3f}). Theorem 1 is a limit that this model does not reach.",
        f"A face and its posterior mean, which differ in detail, are {travel['scale'] / encoder['scale']:.2f} times "
        "as far apart in the latent space as two faces at the same distance in pixels (ratio of the scales): the "
        "latents weigh detail "
        f"{'more' if travel['scale'] > encoder['scale'] else 'no more'} than pixels do.",
    ]
    for row in (result["sources"][0], result["sources"][-1]):
        ratio = row["mean_of_latents"] / row["latent_of_mean"]
        text.append(
            f"With about {row['perplexity']:.1f} faces in play, option 1 decodes "
            f"{_compared(1.0, ratio, 'nearer to', 'farther from')} the posterior mean than option 2 does: its squared "
            f"error is {ratio:.2f} times as large."
            if abs(ratio - 1.0) >= 0.01
            else f"With about {row['perplexity']:.1f} faces in play, both options are as far from the posterior mean."
        )
    return text


def _compared(reference: float, value: float, less: str, more: str) -> str:
    return less if value < reference else more


def _thousandths(values: Sequence[float]) -> str:
    return " | ".join(f"{1e3 * value:.2f}" for value in values)


def _gap(row: dict[str, float]) -> str:
    """Gap of the two latents over their posterior's variance, '-' where that is zero."""
    return f"{row['latent_gap'] / row['latent_variance']:.3f}" if row["latent_variance"] > 0 else "-"


def markdown(result: dict[str, Any]) -> str:
    text = [
        "# The theory on the bundled model",
        "",
        f"Section 3.2.2 and appendix A, measured: {result['images']} images of faces256/{result['split']} at "
        f"{result['size']}x{result['size']}, degraded once by the blind-face degradation (seed {result['seed']}), "
        f"float32 networks, float64 sums. Made by `python -m docs.make.theory --data DIR`, commit "
        f"{result['environment']['revision']}, {result['environment']['processor']}, {result['seconds']:.0f} s. "
        "[analysis.md](../analysis.md) has the formulas.",
        "",
        f"![terms, ratios and sources]({result['name']}.png)",
        "",
        "## What the numbers say",
        "",
        *(f"- {sentence}" for sentence in sentences(result)),
        "",
        "## Theorem 2 and eq. 4",
        "",
        f"Squared errors per element, x 1000; source noise {result['source_noise']:g}, Euler. X original, X\\* "
        "estimate of the posterior mean, E and D the autoencoder (D clips), T the flow, X^ = D(T(E(X\\*))).",
        "",
        "| steps | \\|X\\* - X^\\|^2 | = \\|X\\* - D(E(X\\*))\\|^2 | + \\|D(E(X\\*)) - X^\\|^2 | + 2 inner "
        "| relative miss | \\|X - X^\\|^2 | = \\|X - X\\*\\|^2 | + \\|X\\* - X^\\|^2 | + 2 cross |",
        "|---|" + "---|" * 9,
    ]
    for row in result["theorem_2"]:
        cells = [row["total"], row["reconstruction"], row["transport"], 2 * row["inner"]]
        rest = (row["distortion"], row["irreducible"], row["total"], 2 * row["cross"])
        text.append(
            f"| {row['steps']} | {_thousandths(cells)} | {row['residual']:.0e} | {_thousandths(rest)} ± "
            f"{2e3 * row['cross_error']:.2f} |"
        )
    text += [
        "",
        "## Distance ratios",
        "",
        "\\|F(x) - F(y)\\| / \\|x - y\\|, latents as the flow sees them, pixels in [0, 1]. The scale does no harm; the "
        "defect is the standard deviation of the ratios' logarithms, 0 for an isometry. Block mean: over as many "
        "pixels as the encoder shrinks by, a plain map to hold the encoder against.",
        "",
        "| F and pairs | pairs | scale | 5 % | median | 95 % | largest / smallest | defect |",
        "|---|" + "---|" * 7,
    ]
    for name, row in result["isometry"].items():
        low, middle, high = row["quantiles"].values()
        text.append(
            f"| {name} | {row['pairs']} | {row['scale']:.3g} | {low:.3g} | {middle:.3g} | {high:.3g} "
            f"| {row['distortion']:.2f} | {row['defect']:.3f} |"
        )
    text += [
        "",
        "## Option 1 against option 2",
        "",
        f"The posterior is exact: {result['images']} equally likely faces, seen as an 8x8 mean with noise of the given "
        "standard deviation. Its means are averages of different people: the rows say how the two options behave as "
        "doubt grows, not how large their errors are for blind faces. Squared errors per element, x 1000.",
        "",
        "| noise | faces in play | posterior variance | option 1: \\|D(E[E(X) given Y]) - X\\*\\|^2 "
        "| option 2: \\|D(E(X\\*)) - X\\*\\|^2 | gap of latents / their variance |",
        "|---|" + "---|" * 5,
    ]
    for row in result["sources"]:
        cells = [row["irreducible"], row["mean_of_latents"], row["latent_of_mean"]]
        text.append(f"| {row['sigma']:g} | {row['perplexity']:.1f} | {_thousandths(cells)} | {_gap(row)} |")
    return "\n".join(text) + "\n"


def draw(result: dict[str, Any], ratios: dict[str, Tensor]) -> Figure:
    """Three panels: terms over steps, distributions of the ratios, both sources over the posterior's variance."""
    figure = new_figure(width=14.0, height=4.2)
    rows = result["theorem_2"]
    left = figure.add_subplot(1, 3, 1)
    terms = {
        "total": [r["total"] for r in rows],
        "reconstruction": [r["reconstruction"] for r in rows],
        "transport": [r["transport"] for r in rows],
        "2 inner": [2 * r["inner"] for r in rows],
    }
    for number, (name, values) in enumerate(terms.items()):
        places = [i + 0.2 * (number - 1.5) for i in range(len(rows))]
        left.bar(places, [1e3 * v for v in values], width=0.19, color=COLOURS[number], label=name)
    left.axhline(0.0, color="0.2", linewidth=0.8)
    left.set_xticks(range(len(rows)), [str(r["steps"]) for r in rows])
    left.set(xlabel="Euler steps", ylabel="squared error per element, x 1000", title="Theorem 2")
    middle = figure.add_subplot(1, 3, 2)
    for number, (name, ratio) in enumerate(ratios.items()):
        normal = (ratio / ratio.log().mean().exp()).numpy()
        middle.ecdf(normal, color=COLOURS[number], label=name, linewidth=1.3)
    middle.axvline(1.0, color="0.2", linewidth=0.8)
    middle.set(
        xlabel="distance ratio / its geometric mean", ylabel="share of pairs with at most this", title="Isometry"
    )
    right = figure.add_subplot(1, 3, 3)
    variance = [1e3 * r["irreducible"] for r in result["sources"]]
    for number, (key, name) in enumerate(
        {"mean_of_latents": "option 1: mean of latents", "latent_of_mean": "option 2: latent of mean"}.items()
    ):
        values = [1e3 * r[key] for r in result["sources"]]
        right.plot(variance, values, marker="o", color=COLOURS[number], label=name)
    right.set(
        xlabel="posterior variance, x 1000", ylabel="squared deviation from X*, x 1000", title="Source of the flow"
    )
    for axes in (left, middle, right):
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.legend(fontsize=7)
    return figure
