#!/usr/bin/env python3
"""Renders the chat templates of the tests with Jinja2 itself, set up as Hugging Face's transformers does, and writes what the tests expect. Needs python3-jinja2."""
import json
import pathlib

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

folder = pathlib.Path(__file__).parent.parent / "tests/IlgpuSparse.Tests/Data/chat-templates"

def refuse(message):
    raise TemplateError(message)

environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
environment.globals["raise_exception"] = refuse

conversations = {
    "question": [("user", "Hello, how are you?")],
    "turns": [("user", "Hello, how are you?"), ("assistant", "I'm well, thank you. How can I help? "), ("user", " Which river is the\nlongest? \"Nile\" or 'Amazon'?")],
    "system": [("system", "You are a friendly geographer.\n"), ("user", "Hi."), ("assistant", "<think>They said hi.</think>Hello!"), ("user", "Größe in m²?  🌍")],
    "wrong order": [("user", "One."), ("user", "Two.")],
}
cases = []
for file in sorted(folder.glob("*.jinja")):
    template = environment.from_string(file.read_text())
    for name, turns in conversations.items():
        for ask in (True, False):
            case = {"template": file.stem, "conversation": name, "turns": [{"role": r, "content": c} for r, c in turns], "ask": ask}
            try:
                case["expected"] = template.render(messages=case["turns"], bos_token="<s>", eos_token="</s>", add_generation_prompt=ask, tools=None, documents=None)
            except TemplateError as e:
                case["refusal"] = e.message
            cases.append(case)

# Expressions and statements beyond what these templates use.
snippets = [
    "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 1 / 4 }} {{ 2 * 3 + 4 }} {{ 10 - 2 - 3 }} {{ -2 }} {{ 1.50 }} {{ 'ab' * 3 }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' in 'cat' }} {{ 3 not in [1, 2] }} {{ not true }} {{ none or 'x' }} {{ 0 and 1 }} {{ true == 1 }}",
    "{{ [1, 'two', 3.0, none, true, {'k': \"it's\"}] }}",
    "{{ {'a': [1, 2], 'b': {'c': none}} | tojson }}|{{ {'a': [1, 2], 'e': [], 'b': {'c': 'q\"\\\\n\\u00e9\\n'}} | tojson(indent=2) }}",
    "{{ 'Hello World'[::-1] }} {{ [1,2,3,4][1:3] }} {{ [1,2,3,4][-1] }} {{ 'abcdef'[:-2] }} {{ 'abcdef'[-3:] }} {{ [1,2,3,4][::2] }}",
    "{% for k, v in {'x': 1, 'y': 2}.items() %}{{ k }}={{ v }}{% if not loop.last %}, {% endif %}{% else %}none{% endfor %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}|{% for i in [] %}x{% else %}empty{% endfor %}",
    "{% for i in range(1, 10, 3) if i != 4 %}{{ loop.index }}:{{ i }}:{{ loop.revindex }};{% endfor %}{{ range(3) | list }}",
    "{% macro greet(name, mark='!') %}Hi {{ name }}{{ mark }}{% endmacro %}{{ greet('Ann') }} {{ greet('Bob', mark='?') }}",
    "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }} {% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    "{% set text %}inner {{ 1 + 1 }}{% endset %}[{{ text }}]{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{{ missing }}|{{ missing is defined }}|{{ missing | default('d') }}|{{ '' | default('e', true) }}|{{ missing is undefined }}",
    "{{ ' x ' | trim }}|{{ 'a,b,c'.split(',') }}|{{ 'a b  c'.split() }}|{{ 'abc' | upper }}|{{ 'hello world' | title }}|{{ 'hELLO' | capitalize }}|{{ 'x-y-z' | replace('-', '+') }}",
    "{{ 'a-b-c'.split('-', 1) }}|{{ 'a-b-c'.rsplit('-', 1) }}|{{ 'xxabxx'.strip('x') }}|{{ 'pre.name'.startswith('pre') }}|{{ 'name'.endswith(('me', 'x')) }}|{{ 'line'.lstrip('l') }}",
    "{{ [3, 1, 2] | sort | join(', ') }}|{{ [1, 2, 3] | first }}|{{ [1, 2, 3] | last }}|{{ 'abc' | length }}|{{ [1, 1, 2] | unique | list }}|{{ [1, 2] | sum }}|{{ 'abc' | reverse }}",
    "{{ [{'n': 'a', 'v': 1}, {'n': 'b', 'v': 0}] | map(attribute='n') | list }}|{{ [{'n': 'a', 'v': 1}, {'n': 'b', 'v': 0}] | selectattr('v') | map(attribute='n') | join }}|{{ ['x', 'y'] | map('upper') | list }}",
    "{{ 5 is odd }} {{ 4 is even }} {{ 'a' is string }} {{ {} is mapping }} {{ [] is iterable }} {{ 1 is number }} {{ none is none }} {{ true is true }} {{ 'a' is in ['a'] }} {{ 6 is divisibleby 3 }} {{ 1 is not none }}",
    "{{ 'yes' if 1 else 'no' }} {{ 'yes' if 0 else 'no' }} {{ 'yes' if 0 }} {{ ('a' if false else 'b') ~ 1 ~ none }}",
    "{{ ['a', 'b'] | tojson }} {{ 'x' | string ~ 3 | string }} {{ '42' | int + 1 }} {{ 'x' | int }} {{ 3.7 | int }} {{ -3 | abs }} {{ '<b>' | e }}",
    "line one\n    {% if true %}\n  two\n    {% endif %}\nthree {{ 'x' }}\n  {#- gone -#}  four\n",
    "a {%- if true -%} b {%- endif -%} c\n{%+ if true %}  d{% endif +%}\n e",
    "{% raw %}{{ not this }} {% nor this %}{% endraw %} {{ '{{' }}{{ '%}' }}",
    "{{ {'a': {'b': 1}}.a.b }} {{ {'a': 1}.get('a') }} {{ {'a': 1}.get('z', 9) }} {% for k, v in {'b': 2, 'a': 1} | dictsort %}{{ k }}{{ v }}{% endfor %} {% for p in {'a': 1} | items %}{{ p[0] }}{% endfor %} {{ {'a': 1, 'b': 2} | length }} {{ 'a' in {'a': 1} }}",
    "{% for m in [1, 2, 3] %}{{ loop.previtem if loop.previtem is defined else '-' }}{{ loop.nextitem if loop.nextitem is defined else '-' }} {% endfor %}{{ 'multi\nline' | indent(2) }}",
    "{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}{% if none %}a{% elif '' %}b{% else %}c{% endif %}{{ \"tab\\tquote\\\"\" }}{{ 'a' 'b' }}{{ (1, 2) | list }}",
]
for snippet in snippets:
    cases.append({"source": snippet, "turns": [], "ask": True, "expected": environment.from_string(snippet).render()})
(folder / "expected.json").write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n")
print(len(cases), "cases,", sum("refusal" in c for c in cases), "refusals")
