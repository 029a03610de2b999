"""Tasks with verifiers in a training loop: a tiny policy learns from rewards alone what a gym's trainer would use."""

import torch

from clevr import tasks
from clevr.questions.tokens import ANSWER_WORDS, CLEVR_VOCABULARY
from fewshot_film.run.seeding import generator

GROUP = 8


def main() -> None:
    """Make a data set of tasks, then reward what a policy writes about them."""
    dataset = tasks.create_dataset("questions", size=256, seed=1, difficulty=1, width=64, height=48)
    entry = dataset[0]
    print(entry["question"], "->", entry["answer"], "; image", tuple(entry["image"].shape))
    for text in (f"I looked closely. The answer is {entry['answer']}.", "0 1 2 3 yes no", "I cannot tell."):
        print(f"  {dataset.score_answer(text, entry):.0f} for {text!r}")

    # a policy that sees the words of the question only; a real one would read the image too
    loader = torch.utils.data.DataLoader(dataset, batch_size=32, collate_fn=dataset.collate)
    batches = [(torch.stack([words(question) for question in batch["question"]]), batch) for batch in loader]
    policy = torch.zeros(len(CLEVR_VOCABULARY), len(ANSWER_WORDS))
    draws = generator(0, "policy")
    rewards = []
    for _ in range(20):
        for features, batch in batches:
            probabilities = (features @ policy).softmax(1)
            chosen = torch.multinomial(probabilities, GROUP, replacement=True, generator=draws)
            reward = torch.tensor([score(dataset, batch, row, answers) for row, answers in enumerate(chosen.tolist())])
            # each text is compared with the others about the same task, as group-relative policy optimisation does
            advantage = reward - reward.mean(1, keepdim=True)
            policy += features.T @ torch.zeros_like(probabilities).scatter_add_(1, chosen, advantage) / GROUP
            rewards.append(float(reward.mean()))
    print(f"mean reward {sum(rewards[:8]) / 8:.2f} at first, {sum(rewards[-8:]) / 8:.2f} in the end")


def words(question: str) -> torch.Tensor:
    """How often each word of the vocabulary is in a question, scaled to unit length."""
    counts = torch.zeros(len(CLEVR_VOCABULARY))
    for number in CLEVR_VOCABULARY.encode(question, bounds=False):
        counts[number] += 1
    return counts / counts.norm()


def score(dataset: tasks.TaskDataset, batch: dict, row: int, answers: list[int]) -> list[float]:
    """Rewards of some texts about one task of a batch."""
    entry = {"answer": batch["answer"][row], "metadata": batch["metadata"][row]}
    return [dataset.score_answer(f"The answer is {ANSWER_WORDS[answer]}.", entry) for answer in answers]


if __name__ == "__main__":
    main()
