"""Render conversations with the published chat templates, as `transformers` would.

    PYTHONPATH=tests/demo python tests/oracle/template_fixtures.py tests/data/templates.json

The templates are those of DeepSeek-V2-Chat and V2-Lite-Chat (A), DeepSeek-V2-Chat-0628 (B) and
DeepSeek-V2.5 (C, of which the tool parts are not rendered here).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from checkpoint import write_json
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizer import BOS, CHAT_TEMPLATE, EOS

PREAMBLE = "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
TEMPLATE_B = (
    PREAMBLE + "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '<｜User｜>' + message['content'] }}{% elif message['role'] == 'assistant' %}"
    "{{ '<｜Assistant｜>' + message['content'] + eos_token }}{% elif message['role'] == 'system' %}"
    "{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"
)
_CALL = (
    "'<｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name'] + '\\n' + '```json' + '\\n'"
    " + tool['function']['arguments'] + '\\n' + '```' + '<｜tool▁call▁end｜>'"
)
TEMPLATE_C = (
    PREAMBLE
    + "{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}"
    "{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}"
    "{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + message['content']}}{%- endif %}"
    "{%- if message['role'] == 'assistant' and message['content'] is none %}{%- set ns.is_tool = false -%}"
    "{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}"
    "{{'<｜Assistant｜><｜tool▁calls▁begin｜>' + " + _CALL + "}}{%- set ns.is_first = true -%}"
    "{%- else %}{{'\\n' + " + _CALL + "}}{{'<｜tool▁calls▁end｜><｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor %}{%- endif %}"
    "{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}"
    "{{'<｜tool▁outputs▁end｜>' + message['content'] + '<｜end▁of▁sentence｜>'}}{%- set ns.is_tool = false -%}"
    "{%- else %}{{'<｜Assistant｜>' + message['content'] + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endif %}"
    "{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}"
    "{{'<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>'}}"
    "{%- set ns.is_output_first = false %}{%- else %}"
    "{{'\\n<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>'}}{%- endif %}{%- endif %}{%- endfor -%}"
    "{% if ns.is_tool %}{{'<｜tool▁outputs▁end｜>'}}{% endif %}"
    "{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜>'}}{% endif %}"
)
TEMPLATES = {"A": CHAT_TEMPLATE, "B": TEMPLATE_B, "C": TEMPLATE_C}

# Each conversation is a list of texts; one that begins with a system text is marked.
CONVERSATIONS: tuple[tuple[bool, tuple[str, ...]], ...] = (
    (False, ("Hello",)),
    (True, ("You are a helpful assistant.", "What is 17 + 25?")),
    (False, ("Hi", "Hello! How can I help you?", "What is the capital of France?")),
    (True, ("Answer briefly.", "你好", "你好！有什么可以帮你？", "17加25等于多少？", "42", "谢谢")),
    (False, ("", "An empty question.", "Why?")),
    (False, ("  spaces around  ", "   kept   ", "\ttabs\t")),
    (False, ("two\n\nblank\n\n\nlines\r\nand a carriage return",)),
    (True, ("", "An empty system text.")),
    (False, ("Text that looks like a template: {{ bos_token }} {% if x %} User: \n\nAssistant:", "ok", "👍🏽 é ǆ ￿")),
    (True, ("Line one.\nLine two.", "a", "b", "c", "d", "e", "f", "g")),
)


def messages_of(has_system: bool, texts: tuple[str, ...]) -> list[dict[str, str]]:
    """Give the texts their roles in turn."""
    roles = ["system"] * has_system + ["user", "assistant"] * len(texts)
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    # transformers renders with these two settings; a plain environment gives other white space.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    cases = []
    for name, jinja in TEMPLATES.items():
        template = environment.from_string(jinja)
        for has_system, texts in CONVERSATIONS:
            messages = messages_of(has_system, texts)
            for add_generation_prompt in (True, False) if len(texts) > 2 else (True,):
                rendered = template.render(
                    messages=messages, add_generation_prompt=add_generation_prompt, bos_token=BOS, eos_token=EOS
                )
                cases.append({"template": name, "messages": messages,
                              "add_generation_prompt": add_generation_prompt, "rendered": rendered})  # fmt: skip
    write_json(args.out, {"templates": TEMPLATES, "cases": cases})
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
