"""Train the demo models' tokenizer and write it in the files of a Hugging Face checkpoint.

It is a byte-level BPE with the `deepseek-llm` splits, so the runtime's tokenizer for the real
models reads it unchanged: only the merges are ours.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import data
from checkpoint import write_json

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"

# Chat template A, as DeepSeek-V2-Chat and V2-Lite-Chat carry it.
CHAT_TEMPLATE = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ 'User: ' + message['content'] + '\n\n' }}{% elif message['role'] == 'assistant' %}"
    "{{ 'Assistant: ' + message['content'] + eos_token }}{% elif message['role'] == 'system' %}"
    "{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

# Every cased letter, as the deepseek-llm pre-tokenizer lists them. Escaped, because some of them
# are characters that editors and Unicode normalization replace with their look-alikes.
LETTERS = (
    "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF"
    "\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5"
    "\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA"
    "\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45"
    "\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE"
    "\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC"
    "\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139"
    "\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3"
    "\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06"
    "\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3"
    "\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF"
    "\U0001E900-\U0001E943"
)


def deepseek_llm_pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Return the splits of `deepseek-llm`, each isolating what it matches."""
    patterns = (
        r"[\r\n]",
        rf"\s?[{LETTERS}]+",
        r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
        r"\s+$",
        r"[一-龥ࠀ-一가-퟿]+",
    )
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    digits = pre_tokenizers.Digits(individual_digits=True)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*splits, digits, byte_level])


def _training_texts(seed: int) -> Iterator[str]:
    """Yield generated dialogues, then English and code that every Python installation has."""
    rng = Random(seed)
    for _ in range(60_000):
        dialogue = data.training_dialogue(rng)
        yield "\n\n".join(
            (dialogue.system, *(f"User: {turn.prompt}\n\nAssistant: {turn.answer}" for turn in dialogue.turns))
        )
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.glob("*.py"))[:120]:
        yield path.read_text(encoding="utf-8", errors="ignore")[:40_000]
    for line in _letters_of_many_scripts():
        yield line


def _letters_of_many_scripts() -> Iterator[str]:
    """Yield a little text of many scripts, so that their commonest characters are one token."""
    for first, last in ((0xC0, 0x17F), (0x370, 0x3FF), (0x400, 0x45F), (0x5D0, 0x5EA), (0x620, 0x64A),
                        (0x3041, 0x3096), (0x30A1, 0x30FA)):  # fmt: skip
        yield " ".join(chr(point) * 8 for point in range(first, last + 1) if chr(point).isalpha())


def train(vocab_size: int, seed: int = 1) -> Tokenizer:
    """Train a tokenizer whose vocabulary has `vocab_size` entries, the two special ones last."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = deepseek_llm_pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_texts(seed), trainer)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in (BOS, EOS)])
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(f"the corpus gives only {tokenizer.get_vocab_size()} entries, not {vocab_size}")
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    """Write tokenizer.json, tokenizer_config.json and generation_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))

    def added(text: str) -> dict[str, object]:
        return {
            "__type": "AddedToken", "content": text, "lstrip": False, "normalized": True,
            "rstrip": False, "single_word": False,
        }  # fmt: skip

    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": added(BOS),
        "clean_up_tokenization_spaces": False,
        "eos_token": added(EOS),
        "legacy": True,
        "model_max_length": max_length,
        "pad_token": added(EOS),
        "unk_token": None,
        "tokenizer_class": "LlamaTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
    }
    generation = {
        "_from_model_config": True,
        "bos_token_id": tokenizer.token_to_id(BOS),
        "eos_token_id": tokenizer.token_to_id(EOS),
        "do_sample": True,
        "temperature": 0.3,
        "top_p": 0.95,
    }
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "generation_config.json", generation)
