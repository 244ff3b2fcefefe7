"""Writes tests/data/pretokenizer/*.jsonl: texts and their words by the `tokenizers` package.

Usage: python make_pretokenizer.py LETTERS OUT_DIR
LETTERS is a text file with the cased letters' regex class, as the checkpoints' tokenizer.json has it.
"""

import json
import pathlib
import random
import sys

from tokenizers import Regex, pre_tokenizers as pre


def sequence(patterns, digits=False):
    steps = [pre.Split(Regex(p), "isolated") for p in patterns]
    if digits:
        steps.append(pre.Digits(individual_digits=True))
    return pre.Sequence(steps)


def deepseek_llm(letters):
    return sequence(
        [
            "[\r\n]",
            r"\s?" + letters + "+",
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            r"\s+$",
            "[一-龥ࠀ-一가-\ud7ff]+",
        ],
        digits=True,
    )


def deepseek_v3():
    punctuation = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    return sequence(
        [
            r"\p{N}{1,3}",
            "[一-龥぀-ゟ゠-ヿ]+",
            punctuation
            + r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
            + r"|\s*[\r\n]+|\s+(?!\S)|\s+",
        ]
    )


FIXED = [
    "Hello world! It's 2024, isn't it?  Yes...\n\nOK\r\n\tend ",
    "def f(x):\n    return x ** 2  # square\n\n\nprint(f(12345))",
    "我们 apple 工作1314天～ 「引用」《书名》。　全角　空格",
    "Việt Nam, Größe, naïve, Ångström, ﬁn, ǅ, Ⅷ ½ ² ٣ ४",
    "🚀 (normal) 😶‍🌫️ ✅  👨‍👩‍👧 🦙.cpp",
    "العربية עברית हिन्दी ภาษาไทย 한국어 日本語カタカナ",
    "a\u00a0b\u2003c\u3000d\u1680e\u180ef\u200bg\u2028h\u0085i\ufeffj",
    "<html>\n  <p class=\"x\">&amp;</p>\n</html>",
    "  leading and trailing   ",
    "\x00\x01\x7f control",
]


def random_texts(n):
    rng = random.Random(5)
    pools = [
        list("abcXYZ  \n\t.,!?'\"()0123456789_-=+*/<>"),
        list("中文字符，。！？「」　１２ＡＢｃ"),
        list("éßÅĳΩжЖკՖᎠǅⅷ½²٣४᠎\u2003\u00a0\u200b\u0301\u0345"),
        list("🚀😶🌫️✅👨\u200d👩\U000e0001\U0010ffff\ufffe"),
        list("あアー한글กขدאव"),
    ]
    for _ in range(n):
        picked = [rng.choice(pools) for _ in range(rng.randint(1, 3))]
        text = ""
        for _ in range(rng.randint(1, 40)):
            c = rng.choice(rng.choice(picked))
            text += c * rng.choice([1, 1, 1, 2, 3])
        yield text


def main():
    letters = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").strip()
    out = pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    texts = FIXED + list(random_texts(150))
    for name, splitter in [("deepseek-llm", deepseek_llm(letters)), ("deepseek-v3", deepseek_v3())]:
        with open(out / f"{name}.jsonl", "w", encoding="utf-8") as f:
            for text in texts:
                words = [word for word, _ in splitter.pre_tokenize_str(text)]
                assert "".join(words) == text
                f.write(json.dumps({"text": text, "words": words}) + "\n")


main()
