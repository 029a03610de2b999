"""FiLM in your own network: a condition decides what the same features are used for.

A small convolutional network learns in seconds to answer one of two questions about a patch of colour: is it more red
than blue, or brighter than one half? A generator maps the question to gamma and beta. Finally, the values for one
question are folded into the weights, which gives a plain network that answers only this question.
"""

import torch
from torch import nn

from fewshot_film.film import LinearGenerator, fold_film, inject_film

QUESTIONS = torch.eye(2)  # one condition per row


def patches(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Images ``(count, 3, 8, 8)`` of one colour with some noise, and the answers to both questions ``(count, 2)``."""
    colours = torch.rand(count, 3, generator=generator)
    images = colours[:, :, None, None] + 0.05 * torch.randn(count, 3, 8, 8, generator=generator)
    answers = torch.stack([colours[:, 0] > colours[:, 2], colours.mean(1) > 0.5], 1)
    return images, answers.float()


def main() -> None:
    """Train, measure, fold."""
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 1),
    )  # fmt: skip
    filmed = inject_film(network, after=["1"])  # after the BatchNorm; the state dict does not change
    generator = LinearGenerator(2, filmed.sites)  # 2 numbers -> gamma and beta of every site
    optimizer = torch.optim.Adam([*network.parameters(), *generator.parameters()], 0.02)

    for _ in range(200):
        images, answers = patches(128, draw)
        asked = torch.randint(2, (128,), generator=draw)
        logits = filmed(images, generator(QUESTIONS[asked]))[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, answers[torch.arange(128), asked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    network.eval()
    images, answers = patches(1000, draw)
    with torch.no_grad():
        for number, question in enumerate(("more red than blue", "brighter than half")):
            values = generator(QUESTIONS[number : number + 1])  # one row for the whole batch
            logits = filmed(images, values)[:, 0]
            right = ((logits > 0) == (answers[:, number] > 0)).float().mean()
            plain = fold_film(filmed, values)  # an ordinary nn.Sequential
            difference = (plain(images)[:, 0] - logits).abs().max()
            print(f"{question}: {100 * right:.1f} % right; folded, it differs by {difference:.0e}")


if __name__ == "__main__":
    main()
