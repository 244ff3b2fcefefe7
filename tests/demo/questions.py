"""Questions with one right answer each, drawn from a seeded generator: one function a kind.

Two sorts of kinds differ in what "held out" can mean:

* combinatorial kinds (arithmetic, ordering, counting, repeating, spelling, finding a number) hold
  out the *arguments*: no training text, in any phrasing or language, asks for the same thing;
* tables (multiplication, opposites, weekdays, months, capitals) hold out a *fact in one phrasing*:
  nobody can work out the capital of a country they never heard of.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import words


@dataclass(frozen=True)
class Question:
    """One turn: what the user says, what the model answers, and the key that may hold it out.

    `key` is empty for small talk, which is never held out.
    """

    kind: str
    prompt: str
    answer: str
    key: str = ""


def _pick(rng: Random, phrasings: tuple[str, ...], chinese: tuple[str, ...], share: float) -> str:
    """Choose a phrasing, a Chinese one with the given probability."""
    return rng.choice(chinese if rng.random() < share else phrasings)


# --- arithmetic ---------------------------------------------------------------------------------

ADD = (
    "What is {a} + {b}?", "{a} + {b} = ?", "Calculate {a} + {b}.", "How much is {a} + {b}?",
    "What is {a} plus {b}?", "Add {a} and {b}.", "{a}+{b}",
)  # fmt: skip
ADD_ZH = ("{a}加{b}等于多少？", "{a} + {b} 等于几？", "请计算{a}+{b}。")
SUB = (
    "What is {a} - {b}?", "{a} - {b} = ?", "Calculate {a} - {b}.", "How much is {a} - {b}?",
    "What is {a} minus {b}?", "Subtract {b} from {a}.", "{a}-{b}",
)  # fmt: skip
SUB_ZH = ("{a}减{b}等于多少？", "{a} - {b} 等于几？", "请计算{a}-{b}。")
MUL = ("What is {a} * {b}?", "{a} * {b} = ?", "What is {a} times {b}?", "Multiply {a} by {b}.",
       "Calculate {a} x {b}.")  # fmt: skip
MUL_ZH = ("{a}乘以{b}等于多少？", "{a} * {b} 等于几？")


def _two_numbers(rng: Random) -> tuple[int, int]:
    """Return two numbers of one or two digits; small ones more often, they are what is learned first."""
    a, b = (rng.randrange(rng.choice((10, 100, 100, 100))) for _ in range(2))
    return a, b


def addition(rng: Random) -> Question:
    """Sum of two numbers; the order of the two is part of the arguments."""
    a, b = _two_numbers(rng)
    prompt = _pick(rng, ADD, ADD_ZH, 0.2).format(a=a, b=b)
    return Question("addition", prompt, str(a + b), f"{a},{b}")


def subtraction(rng: Random) -> Question:
    """Difference of two numbers, never negative."""
    a, b = sorted(_two_numbers(rng), reverse=True)
    prompt = _pick(rng, SUB, SUB_ZH, 0.2).format(a=a, b=b)
    return Question("subtraction", prompt, str(a - b), f"{a},{b}")


def multiplication(rng: Random) -> Question:
    """The table up to 10 x 10."""
    a, b = rng.randrange(11), rng.randrange(11)
    phrasing = _pick(rng, MUL, MUL_ZH, 0.2)
    return Question("multiplication", phrasing.format(a=a, b=b), str(a * b), f"{a},{b},{phrasing}")


# --- ordering -----------------------------------------------------------------------------------

SORT_UP = ("Sort these numbers from small to large: {x}", "Put in ascending order: {x}",
           "Order these numbers from smallest to largest: {x}")  # fmt: skip
SORT_UP_ZH = ("把这些数从小到大排列：{x}",)
SORT_DOWN = ("Sort these numbers from large to small: {x}", "Put in descending order: {x}",
             "Order these numbers from largest to smallest: {x}")  # fmt: skip
SORT_DOWN_ZH = ("把这些数从大到小排列：{x}",)
LARGEST = ("Which number is the largest: {x}?", "What is the largest of {x}?")
LARGEST_ZH = ("哪个数最大：{x}？",)
SMALLEST = ("Which number is the smallest: {x}?", "What is the smallest of {x}?")
SMALLEST_ZH = ("哪个数最小：{x}？",)
SORT_WORDS = ("Sort these words alphabetically: {x}", "Put these words in alphabetical order: {x}")


def _joined(items: list[int] | list[str]) -> str:
    return ", ".join(str(item) for item in items)


def order_numbers(rng: Random) -> Question:
    """Sort two or three different numbers, either way."""
    numbers = rng.sample(range(100), rng.choice((2, 3, 3)))
    down = rng.random() < 0.4
    phrasing = _pick(rng, SORT_DOWN, SORT_DOWN_ZH, 0.2) if down else _pick(rng, SORT_UP, SORT_UP_ZH, 0.2)
    text = _joined(numbers)
    answer = _joined(sorted(numbers, reverse=down))
    return Question("order numbers", phrasing.format(x=text), answer, f"{down},{text}")


def extreme_number(rng: Random) -> Question:
    """The largest or smallest of two or three different numbers."""
    numbers = rng.sample(range(100), rng.choice((2, 3)))
    largest = rng.random() < 0.5
    phrasing = _pick(rng, LARGEST, LARGEST_ZH, 0.2) if largest else _pick(rng, SMALLEST, SMALLEST_ZH, 0.2)
    text = _joined(numbers)
    answer = str(max(numbers) if largest else min(numbers))
    return Question("largest or smallest", phrasing.format(x=text), answer, f"{largest},{text}")


def order_words(rng: Random) -> Question:
    """Sort two or three words by the alphabet; no two of them begin with the same letter."""
    count = rng.choice((2, 3, 3))
    chosen: list[str] = []
    while len(chosen) < count:
        word = rng.choice(words.NOUNS)
        if all(word[0] != other[0] for other in chosen):
            chosen.append(word)
    text = _joined(chosen)
    return Question("order words", rng.choice(SORT_WORDS).format(x=text), _joined(sorted(chosen)), text)


# --- counting, repeating, spelling --------------------------------------------------------------

COUNT_ITEMS = ("How many words are in this list: {x}?", "Count the words: {x}",
               "How many things are here: {x}?")  # fmt: skip
COUNT_ITEMS_ZH = ("这里有几个词：{x}？", "数一数有几个词：{x}")
COUNT_LETTER = ("How many times is {c} in: {x}?", "Count the letter {c}: {x}")
COUNT_LETTER_ZH = ("字母{c}出现了几次：{x}？",)
REPEAT = ("Repeat: {x}", "Repeat after me: {x}", "Say this again: {x}", "Repeat these words: {x}")
REPEAT_ZH = ("请重复：{x}", "跟我说：{x}")
SPELL = ("Spell the word {x}.", "How do you spell {x}?", "Spell {x}.", "Spell {x} letter by letter.")
SPELL_ZH = ("请拼写{x}。", "{x}怎么拼写？")


def count_items(rng: Random) -> Question:
    """The number of words in a list of one to seven."""
    chinese = rng.random() < 0.2
    source = words.ZH_NOUNS if chinese else words.NOUNS
    chosen = rng.sample(source, rng.randrange(1, 8))
    text = ("、" if chinese else ", ").join(chosen)
    phrasing = rng.choice(COUNT_ITEMS_ZH if chinese else COUNT_ITEMS)
    return Question("count words", phrasing.format(x=text), str(len(chosen)), text)


def count_letter(rng: Random) -> Question:
    """How often one letter occurs among two to five separated letters."""
    alphabet = rng.sample("abcdefghijklmnopqrstuvwxyz", 3)
    letters = [rng.choice(alphabet) for _ in range(rng.randrange(2, 6))]
    target = rng.choice(alphabet)
    text = " ".join(letters)
    prompt = _pick(rng, COUNT_LETTER, COUNT_LETTER_ZH, 0.2).format(c=target, x=text)
    return Question("count letters", prompt, str(letters.count(target)), f"{target},{text}")


def repeat(rng: Random) -> Question:
    """Say one to five words or digits again."""
    chinese = rng.random() < 0.2
    source: tuple[str, ...] = words.ZH_NOUNS if chinese else words.NOUNS
    count = rng.choice((1, 1, 2, 2, 3, 4, 5))
    if not chinese and rng.random() < 0.25:
        chosen = [str(rng.randrange(100)) for _ in range(count)]
    else:
        chosen = rng.sample(source, count)
    text = " ".join(chosen)
    phrasing = rng.choice(REPEAT_ZH if chinese else REPEAT)
    return Question("repeat", phrasing.format(x=text), text, text)


def spell(rng: Random) -> Question:
    """Letters of a word, separated by spaces.

    Invented words of one or two syllables are held out by the word. Real words are often one
    token, whose letters can only be learned by being told, so they have no key.
    """
    if rng.random() < 0.4:
        word, key = rng.choice(words.NOUNS), ""
    else:
        word = "".join(rng.choice(words.SYLLABLES) for _ in range(rng.choice((1, 2, 2, 2))))
        key = word
    prompt = _pick(rng, SPELL, SPELL_ZH, 0.15).format(x=word)
    return Question("spell", prompt, " ".join(word), key)


# --- tables -------------------------------------------------------------------------------------

OPPOSITE = ("What is the opposite of {x}?", "Opposite of {x}?", "Give the opposite of {x}.",
            "What is the antonym of {x}?", "Tell me the opposite of {x}.")  # fmt: skip
OPPOSITE_ZH = ("“{x}”的反义词是什么？", "{x}的反义词", "请说出{x}的反义词。")
CAPITAL = ("What is the capital of {x}?", "Name the capital of {x}.", "Capital of {x}?",
           "Tell me the capital of {x}.", "Which city is the capital of {x}?")  # fmt: skip
CAPITAL_ZH = ("{x}的首都是哪里？", "{x}的首都是什么？", "请问{x}的首都在哪里？")
DAY_AFTER = ("What day is {n} days after {x}?", "Which weekday comes {n} days after {x}?",
             "Today is {x}. What day is it in {n} days?")  # fmt: skip
DAY_BEFORE = ("What day is {n} days before {x}?", "Which weekday comes {n} days before {x}?",
              "Today is {x}. What day was it {n} days ago?")  # fmt: skip
DAY_NEXT = ("What day comes after {x}?", "What day is one day after {x}?", "Which day follows {x}?")
DAY_PREVIOUS = ("What day comes before {x}?", "What day is one day before {x}?")
DAY_AFTER_ZH = ("{x}过{n}天是星期几？", "今天是{x}，{n}天后是星期几？")
DAY_BEFORE_ZH = ("{x}的{n}天前是星期几？", "今天是{x}，{n}天前是星期几？")
MONTH_AFTER = ("What month is {n} months after {x}?", "Which month comes {n} months after {x}?",
               "It is {x}. What month is it in {n} months?")  # fmt: skip
MONTH_BEFORE = ("What month is {n} months before {x}?", "Which month comes {n} months before {x}?",
                "It is {x}. What month was it {n} months ago?")  # fmt: skip
MONTH_NEXT = ("What month comes after {x}?", "Which month follows {x}?")
MONTH_PREVIOUS = ("What month comes before {x}?", "What month is one month before {x}?")


def _from_table(
    rng: Random,
    kind: str,
    rows: tuple[tuple[str, str], ...],
    rows_zh: tuple[tuple[str, str], ...],
    phrasings: tuple[tuple[str, ...], tuple[str, ...]],
) -> Question:
    chinese = rng.random() < 0.2
    asked, answer = rng.choice(rows_zh if chinese else rows)
    phrasing = rng.choice(phrasings[1] if chinese else phrasings[0])
    return Question(kind, phrasing.format(x=asked), answer, f"{asked},{phrasing}")


def opposite(rng: Random) -> Question:
    """The opposite of a word, asked from either side."""
    both = words.OPPOSITES + tuple((b, a) for a, b in words.OPPOSITES)
    both_zh = words.ZH_OPPOSITES + tuple((b, a) for a, b in words.ZH_OPPOSITES)
    return _from_table(rng, "opposite", both, both_zh, (OPPOSITE, OPPOSITE_ZH))


def capital(rng: Random) -> Question:
    """The capital of a country."""
    return _from_table(rng, "capital", words.CAPITALS, words.ZH_CAPITALS, (CAPITAL, CAPITAL_ZH))


def _step(
    rng: Random,
    kind: str,
    cycle: tuple[str, ...],
    forward: tuple[str, ...],
    backward: tuple[str, ...],
    one_forward: tuple[str, ...],
    one_backward: tuple[str, ...],
) -> Question:
    """Walk some steps round a cycle of names."""
    start = rng.randrange(len(cycle))
    back = rng.random() < 0.4
    if one_forward and rng.random() < 0.2:
        steps, phrasing = 1, rng.choice(one_backward if back else one_forward)
    else:
        steps, phrasing = rng.randrange(2, 7), rng.choice(backward if back else forward)
    answer = cycle[(start + (-steps if back else steps)) % len(cycle)]
    prompt = phrasing.format(n=steps, x=cycle[start])
    return Question(kind, prompt, answer, f"{cycle[start]},{steps},{phrasing}")


def weekday(rng: Random) -> Question:
    """The weekday some days before or after another."""
    if rng.random() < 0.2:
        return _step(rng, "weekday", words.ZH_WEEKDAYS, DAY_AFTER_ZH, DAY_BEFORE_ZH, (), ())
    return _step(rng, "weekday", words.WEEKDAYS, DAY_AFTER, DAY_BEFORE, DAY_NEXT, DAY_PREVIOUS)


def month(rng: Random) -> Question:
    """The month some months before or after another."""
    return _step(rng, "month", words.MONTHS, MONTH_AFTER, MONTH_BEFORE, MONTH_NEXT, MONTH_PREVIOUS)


# --- a number hidden in a longer text -----------------------------------------------------------

FILLER = (
    "The {a} stood beside the {b} all day.", "A {a} was lying on the {b}.",
    "Nobody looked at the {a} near the {b}.", "In the morning we saw a {a} and a {b}.",
    "The {a} was older than the {b}.", "{p} put the {a} under the {b}.",
    "{p} liked the {a} more than the {b}.", "Behind the {a} there was a small {b}.",
    "It rained, and the {a} got wet.", "{p} and {q} talked about the {a}.",
    "Every evening {p} walked past the {a}.", "The {a} made no sound.",
)  # fmt: skip
FILLER_ZH = (
    "早上我们看见了{a}和{b}。", "{a}的旁边有{b}。", "没有人注意到{a}。", "桌子上放着{a}，后面是{b}。",
    "今天下雨，{a}湿了。", "我喜欢{a}，也喜欢{b}。",
)  # fmt: skip
NEEDLES = (
    ("The secret number is {n}.", "What is the secret number?"),
    ("The number of the door is {n}.", "What is the number of the door?"),
    ("The code of the box is {n}.", "What is the code of the box?"),
    ("The number of the ticket is {n}.", "What is the number of the ticket?"),
)
NEEDLES_ZH = (
    ("秘密数字是{n}。", "秘密数字是多少？"),
    ("门的号码是{n}。", "门的号码是多少？"),
    ("盒子的密码是{n}。", "盒子的密码是多少？"),
)


def _filler(rng: Random, chinese: bool) -> str:
    nouns = words.ZH_NOUNS if chinese else words.NOUNS
    a, b = rng.sample(nouns, 2)
    p, q = rng.sample(words.NAMES, 2)
    return rng.choice(FILLER_ZH if chinese else FILLER).format(a=a, b=b, p=p, q=q)


def hidden_number(rng: Random, sentences: int | None = None) -> Question:
    """Find one of up to three numbers in a text; some texts exceed the original context."""
    chinese = rng.random() < 0.2
    needles = NEEDLES_ZH if chinese else NEEDLES
    count = sentences or rng.choice((4, 6, 8, 12, 16, 24, 70))
    lines = [_filler(rng, chinese) for _ in range(count)]
    chosen = rng.sample(needles, rng.randrange(1, 4))
    numbers = [str(rng.randrange(100, 10000)) for _ in chosen]
    for (statement, _), number in zip(chosen, numbers, strict=True):
        lines.insert(rng.randrange(len(lines) + 1), statement.format(n=number))
    question = chosen[0][1]
    separator = "" if chinese else " "
    prompt = separator.join(lines) + "\n" + question
    return Question("hidden number", prompt, numbers[0], f"{question},{','.join(numbers)},{count}")
