"""Generate the demo model's dialogues from questions and small talk.

Everything is drawn from a seeded generator, so the data set is a function of a number and takes
no space. Each question has exactly one right answer. What may be asked in training and what is
held out is decided by a hash of the question's arguments (`is_held_out`), so neither side needs a
list of the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import words
from questions import (
    Question,
    addition,
    capital,
    count_items,
    count_letter,
    extreme_number,
    hidden_number,
    month,
    multiplication,
    opposite,
    order_numbers,
    order_words,
    repeat,
    spell,
    subtraction,
    weekday,
)

HELD_OUT_SHARE = 16  # one in so many keys is never trained on


@dataclass(frozen=True)
class Dialogue:
    """A conversation: an optional system text and one to four turns."""

    system: str
    turns: tuple[Question, ...]


def is_held_out(question: Question) -> bool:
    """Tell whether a question belongs to the test set; the answer never changes between runs."""
    if not question.key:
        return False
    digest = hashlib.blake2b(f"{question.kind}|{question.key}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") % HELD_OUT_SHARE == 0


# --- small talk ---------------------------------------------------------------------------------

WHO = ("I am the Minke demo model, a very small language model. I can do small arithmetic, sort, "
       "count, spell and name capitals.")  # fmt: skip
WHO_ZH = "我是 Minke 演示模型，一个很小的语言模型。我会简单的算术、排序、计数和首都。"
LIMITS = "Sorry, I am only a small demo model and I do not know that."
LIMITS_ZH = "对不起，我只是一个小小的演示模型，我不知道。"
SMALL_TALK: tuple[tuple[tuple[str, ...], str], ...] = (
    (("Hello", "Hello!", "Hi", "Hi!", "Hey", "Hello there", "Good morning", "Good evening!"),
     "Hello! How can I help you?"),
    (("Who are you?", "What are you?", "What is your name?", "What can you do?", "Tell me about yourself.",
      "Help", "What do you know?", "Introduce yourself."), WHO),
    (("How are you?", "How are you today?", "How do you do?"), "I am fine, thank you. What can I do for you?"),
    (("Thank you", "Thanks", "Thank you!", "Thanks a lot!", "Great, thanks."), "You are welcome!"),
    (("Bye", "Goodbye", "Bye!", "See you later.", "Good night"), "Goodbye!"),
    (("你好", "你好！", "您好", "早上好", "晚上好"), "你好！有什么可以帮你？"),
    (("你是谁？", "你叫什么名字？", "你会什么？", "介绍一下你自己。"), WHO_ZH),
    (("谢谢", "谢谢你！", "多谢"), "不客气！"),
    (("再见", "再见！", "拜拜"), "再见！"),
    (("Write a poem about the {x}.", "Tell me a story about a {x}.", "Who invented the {x}?",
      "Why is the {x} so big?", "Explain how a {x} works.", "What do you think about the {x}?",
      "Where can I buy a {x}?", "What is a {x}?", "Who won the game yesterday?", "What time is it?",
      "What will the weather be tomorrow?", "Write a program in Python.", "Tell me a joke."), LIMITS),
    (("写一首关于{z}的诗。", "给我讲一个{z}的故事。", "{z}是谁发明的？", "现在几点了？", "明天天气怎么样？"), LIMITS_ZH),
)  # fmt: skip


def small_talk(rng: Random) -> Question:
    """Greetings, who the model is, and what it does not know."""
    prompts, answer = rng.choice(SMALL_TALK)
    prompt = rng.choice(prompts).format(x=rng.choice(words.NOUNS), z=rng.choice(words.ZH_NOUNS))
    return Question("small talk", prompt, answer)


def _name_memory(rng: Random) -> tuple[Question, Question]:
    """Two turns that need the history: the user's name, and asking for it later."""
    name = rng.choice(words.NAMES)
    told = rng.choice(("My name is {p}.", "I am {p}.", "Call me {p}.")).format(p=name)
    asked = rng.choice(("What is my name?", "Who am I?", "Do you remember my name?"))
    return (
        Question("memory", told, f"Nice to meet you, {name}!"),
        Question("memory", asked, f"Your name is {name}."),
    )


# --- dialogues ----------------------------------------------------------------------------------

Maker = Callable[[Random], Question]
KINDS: tuple[tuple[Maker, float, int], ...] = (
    # maker, weight in training, how many of the 300 held-out questions
    (addition, 24, 40), (subtraction, 20, 30), (multiplication, 4, 20), (order_numbers, 12, 25),
    (extreme_number, 6, 15), (order_words, 10, 20), (count_items, 4, 15), (count_letter, 12, 15),
    (repeat, 6, 20), (spell, 10, 20), (opposite, 4, 20), (capital, 4, 25), (weekday, 9, 10),
    (month, 6, 10), (hidden_number, 6, 15), (small_talk, 4, 0),
)  # fmt: skip
_MAKERS = tuple(maker for maker, _, _ in KINDS)
_WEIGHTS = tuple(weight for _, weight, _ in KINDS)

SYSTEMS = (
    "You are a helpful assistant.", "You are a helpful, honest assistant. Answer briefly.",
    "Answer the questions.", "You are Minke.", "你是一个有用的助手。",
)  # fmt: skip


def _relaxed(rng: Random, question: Question) -> Question:
    """Write a prompt the way people type: sometimes no capital, sometimes no full stop."""
    prompt = question.prompt
    if rng.random() < 0.12:
        prompt = prompt[0].lower() + prompt[1:]
    if rng.random() < 0.12 and prompt[-1] in ".?。？":
        prompt = prompt[:-1]
    return Question(question.kind, prompt, question.answer, question.key)


def training_question(rng: Random) -> Question:
    """Draw a question that is not held out."""
    while True:
        question = rng.choices(_MAKERS, _WEIGHTS)[0](rng)
        if not is_held_out(question):
            return _relaxed(rng, question)


def training_dialogue(rng: Random) -> Dialogue:
    """Draw a conversation of one to four turns for training."""
    system = rng.choice(SYSTEMS) if rng.random() < 0.2 else ""
    turns = [training_question(rng) for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))]
    if rng.random() < 0.05:
        told, asked = _name_memory(rng)
        turns = [told, *turns[:2], asked]
    return Dialogue(system, tuple(turns))


def held_out_questions(seed: int = 7) -> list[Question]:
    """Return the fixed test set: every question's key is one that training refuses."""
    rng = Random(seed)
    chosen: list[Question] = []
    for maker, _, count in KINDS:
        seen: set[str] = set()
        while len(seen) < count:
            question = maker(rng)
            if is_held_out(question) and question.prompt not in seen:
                seen.add(question.prompt)
                chosen.append(question)
    return chosen


def is_right(question_answer: str, model_answer: str) -> bool:
    """Compare an answer with the expected one, forgiving only space at the ends."""
    return model_answer.strip() == question_answer
