"""What kind of task is it? A table of cues with weights that a person can read; no model, no clock, no policy.

Only the task is read (system prompt, the ends of the last user turn, schema and tools), never the whole of a
pasted document. A category is named where its evidence is strong and nothing speaks against it; all else is
`general`. A hard request in a cheap tier is the error that matters, so easy categories must clear a margin
and hard cues need none.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from ahocorasick_rs import BytesAhoCorasick, Implementation

from services.classifier.features import ChatRequest, between_words
from shared.contracts import CATEGORIES

EXTRACTION, SUMMARISATION, CLASSIFICATION, REASONING, CODE, GENERAL = range(len(CATEGORIES))

# An easy task is named in a user turn's first or last words. What lies between them is likely a document, and
# counts only where it speaks against an easy category.
NEAR_HEAD: Final = 200
NEAR_TAIL: Final = 160

EASY_MARGIN: Final = 3  # what an easy category must have over everything that speaks against it
HARD_MARGIN: Final = 3  # what reasoning or code must have to be called by its name
VETO: Final = 9  # more than any easy evidence can outweigh
LONGEST_EVIDENCE: Final = 8  # names that travel in Features, which have 300 bytes for all


class Cue(msgspec.Struct, frozen=True):
    """Words that count `weight` for `category`, once, however many of `phrases` are found.

    Phrases are matched whole, in lower case, with every run of other characters than letters, digits, apostrophes
    and plus signs read as one space.
    """

    name: str
    category: int
    weight: int
    phrases: tuple[str, ...]


def _cue(name: str, category: int, weight: int, phrases: str) -> Cue:
    return Cue(name, category, weight, tuple(" ".join(phrase.split()) for phrase in phrases.split("|")))


CUES: Final = (
    # Extraction: what is wanted stands in the text and is copied into a form.
    _cue("extract", EXTRACTION, 4, """
        extract | extracts | extracting | extraction | extract all | pull out | parse out
    """),
    _cue("entities", EXTRACTION, 3, """
        named entity | named entities | entity recognition | entity types | all entities |
        list the entities
    """),
    _cue("into form", EXTRACTION, 6, """
        user requests into json | user request into json | text into json | into a json object |
        into structured data | into the following schema | into the following format |
        parsed objects in json | fill in the form | fill in the fields | fill the following fields |
        fill out the form
    """),
    _cue("list mentioned", EXTRACTION, 4, """
        mentioned in the text | mentioned in the following | mentioned in this | that are mentioned |
        named in the text | find all dates | find all names | list all names | list all dates |
        list every name | list every date | names of all | copy the values | all mentions of
    """),
    _cue("form fields", EXTRACTION, 1, """
        following fields | fields | json format | as json | valid json | json object
    """),
    # Summarisation: the same, shorter.
    _cue("summarise", SUMMARISATION, 4, """
        summarize | summarise | summarizing | summarising | summarization | summarisation | sum up | tl dr
        | tldr | recap | recapped | condense | in a nutshell
    """),
    _cue("summary of", SUMMARISATION, 4, """
        summary of the | summary of this | summary for this | summary for the | short summary |
        brief summary | concise summary | one sentence summary | write a summary | generate a summary |
        give a summary | summary of it | abstract for it | short abstract | brief abstract | boils down to
        | shorten this | shorten the text
    """),
    _cue("summary", SUMMARISATION, 1, """
        summary | summaries | abstract | gist
    """),
    _cue("make summary", SUMMARISATION, 4, """
        write a summary | write a short summary | write a brief summary | write a concise summary |
        write a one sentence summary | write the summary | write an abstract | write me a summary |
        write me an extremely short abstract | generate a summary | generate a short summary |
        generate a brief summary | create a summary | create a short summary | give me a summary
    """),
    _cue("key points", SUMMARISATION, 3, """
        key points | main points | key takeaways | main takeaways | minutes of the meeting | meeting notes
        | action items
    """),
    # Classification: one of a few labels.
    _cue("classify", CLASSIFICATION, 4, """
        classify | classifies | classifying | categorize | categorise | categorizing | categorising
    """),
    _cue("which label", CLASSIFICATION, 4, """
        which category | what category | pick one category | choice of categories |
        one of the following categories | following categories | one of these categories |
        one of the following labels | one of these labels | choose the category | assign a category |
        assign a label | assign one label | select the correct language | detect the language |
        which language | identify the language | respond with just the label | only the label | label only
        | category name only | best matching label
    """),
    _cue("classification", CLASSIFICATION, 2, """
        classification | classifier | categories | label | labels | category
    """),
    _cue("sentiment", CLASSIFICATION, 4, """
        sentiment | positive or negative | positive negative or neutral | positive negative neutral
    """),
    _cue("yes or no", CLASSIFICATION, 2, """
        label yes | answer only yes or no | only yes or no | reply yes or no | valid responses yes and no
        | true or false only
    """),
    _cue("filter", CLASSIFICATION, 4, """
        is this spam | spam or not | spam or ham | is spam | is toxic | toxic or not | is it toxic |
        hate speech or not | route this ticket | ticket priority | which intent | the intent of |
        intent detection | intent classification | topic label | choose the topic
    """),
    # Reasoning: the answer is not in the text.
    _cue("step by step", REASONING, VETO, """
        step by step | step wise | stepwise | chain of thought | show your work | show your working |
        show your steps | think carefully | think through
    """),
    _cue("prove", REASONING, VETO, """
        prove | proof | proofs | theorem | lemma | disprove | derive | derivation | induction |
        contradiction | refute | axiom | corollary
    """),
    _cue("compute", REASONING, 4, """
        calculate | compute | solve | equation | equations | probability | integral | derivative |
        polynomial | algebra | geometry | arithmetic | inequality | matrix | modulo | physics | formula
    """),
    _cue("how many", REASONING, 3, """
        how many | how much | how long | how far | how old | how often | how fast | remaining | remain |
        twice | percent | ratio | in total | altogether | per hour | per week | per day
    """),
    _cue("logic", REASONING, 5, """
        valid or invalid | deductively | premise | premises | syllogism | fallacy | fallacies | puzzle |
        riddle | logically | logical | entail | entails | entailed | tells the truth | checkmate | chess |
        infer | inferred | inference | deduce | hypothesis | counterexample | paradox | true false |
        not true
    """),
    _cue("why", REASONING, 4, """
        why | explain | explaining | justify | justification | rationale | root cause | what causes |
        what caused | reason for | reasons for | how come | reasoning | reason about
    """),
    _cue("judge", REASONING, 4, """
        judge | judges | judging | evaluate | evaluating | assess | assessing | critique | critically |
        compare | comparing | contrast | trade off | trade offs | tradeoff | tradeoffs | pros and cons |
        weigh | versus | which is better | strengths and weaknesses | argue | argument | implications |
        implication | consequences | analyse | analyze | analysing | analyzing | analysis | insights |
        inconsistencies | contradictions | discrepancies | anomalies
    """),
    _cue("decide", REASONING, 4, """
        should i | should we | should the | recommend | recommends | recommendation | recommendations |
        advise | advice | decide whether | best course | what would you | optimal | optimise | optimize |
        optimization | prioritise | prioritize | strategy | strategic | forecast | predict | predicts |
        estimate how | what if | diagnose | troubleshoot | plan
    """),
    _cue("law", REASONING, VETO, """
        liable | liability | enforceable | legal advice | is it legal | legal risk | legal risks | illegal
        | lawsuit | precedent | statute | breach | negligence | legally | lawful | unlawful
    """),
    _cue("medicine", REASONING, VETO, """
        differential diagnosis | prognosis | contraindicated | contraindication | contraindications |
        treatment plan | should the patient | is it safe to take | clinical judgement | clinical judgment
        | triage | drug interaction | drug interactions | most likely diagnosis
    """),
    _cue("several steps", REASONING, 5, """
        and then decide | then decide | then explain | then recommend | then write | then propose |
        and propose | and suggest | suggest how | propose | work out | figure out
    """),
    # Code.
    _cue("language", CODE, 3, """
        python | javascript | typescript | java | kotlin | golang | rust | ruby | php | scala | perl |
        haskell | bash | sql | mysql | postgres | postgresql | sqlite | c++ | html | css | react | django
        | numpy | pandas | pytorch | kubernetes | dockerfile | regex
    """),
    _cue("programming", CODE, 4, """
        sql query | write a function | a function that | the function | unit test | unit tests |
        stack trace | traceback | source code | codebase | pull request | repository | refactor |
        refactoring | compiler | compile | compiles | algorithm | time complexity | data structure |
        recursion | recursive | api endpoint | backend | frontend | program executes | this program |
        this code | the code | following code | code snippet | your code | some code | write code |
        python function | python code | python script | java method | javascript function | bash script |
        shell script | write a program | write a script | pseudocode | microservice | schema migration
    """),
    _cue("mend", CODE, VETO, """
        debug | debugging | fix the bug | fix this bug | a bug | the bug | fix the code | fix this code |
        failing test | segfault | memory leak | race condition | deadlock | null pointer
    """),
    _cue("code words", CODE, 3, """
        def | elif | printf | println | console log | struct | const | async | await | foreach | sizeof |
        endif | lambda | public static | import os | import sys | return none | self
    """),
    # General: something new is to be made, a question is to be answered, or somebody talks.
    _cue("write", GENERAL, 3, """
        write a | write an | write me | write some | write the | write two | write three | compose | draft
        | rewrite | rephrase | paraphrase | translate | translation | brainstorm | come up with | invent |
        create | creating | generate a | generate an | generate some | generate the | build a | make up |
        suggest | continue the | expand | improve
    """),
    _cue("art", GENERAL, 4, """
        story | poem | song | lyrics | essay | blog | novel | dialogue | joke | limerick | haiku | speech
        | slogan | plot | screenplay | cover letter | press release | headline | title | tweet about |
        email to | letter to
    """),
    _cue("role", GENERAL, 4, """
        pretend | imagine | roleplay | role play | act as | you are playing | in the style of | persona
    """),
    _cue("question", GENERAL, 3, """
        answer the question | answer this question | answer the following | answer my question |
        question answering | answer to the | answer to this | find an answer | find the answer |
        following question | given question | this question | query | context | using the article |
        based on the article | can you find it | ask a question | write a question | questions
    """),
    _cue("design", GENERAL, VETO, """
        design a | design an | design the | design system | architecture | architect | roadmap |
        curriculum | business plan | proposal | negotiate | negotiation
    """),
    _cue("converse", GENERAL, 3, """
        tell me | how do i | how can i | how to | how should | what are the best | what is the best |
        help me | i want to | i need to | can you help | what do you think | would you
    """),
)  # fmt: skip

FORCED_TOOL: Final = Cue("forced tool", EXTRACTION, 2, ())
OFFERED_TOOLS: Final = Cue("offered tools", GENERAL, 4, ())
LONG_TEXT: Final = Cue("long text", SUMMARISATION, 1, ())
CONVERSATION: Final = Cue("conversation", GENERAL, 2, ())
NO_TEXT: Final = Cue("no text", SUMMARISATION, -3, ())  # to summarise Moby-Dick from memory is to know it

SHORT_CHARS: Final = 60
LONG_CHARS: Final = 600
CONVERSATION_MESSAGES: Final = 4


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The category, what each one scored (in the order of CATEGORIES), and the cues that were found."""

    category: str
    scores: tuple[int, ...]
    cues: tuple[Cue, ...]


def weigh(chat: ChatRequest) -> Verdict:
    """The category of a request, in time linear in what `features` kept of it (at most 1,700 characters)."""
    user = chat.user
    if len(user) <= NEAR_HEAD + NEAR_TAIL:
        found = _look(f"{chat.system}\n{user}")
    else:
        head, tail = between_words(user, NEAR_HEAD), between_words(user, len(user) - NEAR_TAIL)
        found = _look(f"{chat.system}\n{user[:head]}\n{user[tail:]}")
        found |= _FAR_CUES & _look(user[head:tail])
    cues = [CUES[number] for number in sorted(found)]
    if chat.forces_tool:
        cues.append(FORCED_TOOL)
    elif chat.offers_tools:
        cues.append(OFFERED_TOOLS)
    if chat.user_chars > LONG_CHARS:
        cues.append(LONG_TEXT)
    if chat.user_chars < SHORT_CHARS:
        cues.append(NO_TEXT)
    if chat.messages > CONVERSATION_MESSAGES:
        cues.append(CONVERSATION)

    scores = [0, 0, 0, 0, 0, 0]
    for cue in cues:
        scores[cue.category] += cue.weight
    return Verdict(_settle(*scores), tuple(scores), tuple(cues))


def names(verdict: Verdict) -> tuple[str, ...]:
    """The heaviest cues' names, as many as travel with a plan."""
    cues = verdict.cues
    if len(cues) > LONGEST_EVIDENCE:
        cues = tuple(sorted(cues, key=_lightness)[:LONGEST_EVIDENCE])
    return tuple([cue.name for cue in cues])


def _settle(extraction: int, summarisation: int, classification: int, reasoning: int, code: int, general: int) -> str:
    enough = reasoning + code + general + EASY_MARGIN
    if extraction >= enough and extraction > summarisation and extraction > classification:
        return "extraction"
    if summarisation >= enough and summarisation > extraction and summarisation > classification:
        return "summarisation"
    if classification >= enough and classification > extraction and classification > summarisation:
        return "classification"
    if code >= HARD_MARGIN and code > reasoning and code > general:
        return "code"
    if reasoning >= HARD_MARGIN and reasoning > code and reasoning > general:
        return "reasoning"
    return "general"


def _lightness(cue: Cue) -> int:
    return -cue.weight


def _look(text: str) -> set[int]:
    """The places in CUES of all that is found in a text."""
    read = text.encode()
    if len(read) != len(text):
        read = _OTHER_MARKS.sub(b" ", read.replace(_APOSTROPHE, b"'"))
    read = read.translate(_READ_AS)
    while b"  " in read:
        read = read.replace(b"  ", b" ")
    found: set[int] = set()
    for phrase, _, _ in _find(b" %b " % read, overlapping=True):
        found.update(_CUES_OF[phrase])
    return found


# Reading ----------------------------------------------------------------------------------------------------

# Bytes, for one table lower-cases and parts them at 1 ns a character; a regular expression needs 90.
_READ_AS: Final = bytes(
    byte + 32 if 65 <= byte <= 90 else byte if byte >= 128 or chr(byte).isalnum() or chr(byte) in "'+" else 32
    for byte in range(256)
)

# What typographers, word processors and East Asian texts put between words, as UTF-8: U+00A0 to U+00BF, general
# punctuation (U+2000 to U+206F), CJK punctuation (U+3000 to U+303F) and its full-width forms (U+FF00 to U+FF0F).
_OTHER_MARKS: Final = re.compile(
    rb"\xc2[\xa0-\xbf]|\xe2\x80[\x80-\xbf]|\xe2\x81[\x80-\xaf]|\xe3\x80[\x80-\xbf]|\xef\xbc[\x80-\x8f]"
)
_APOSTROPHE: Final = "\N{RIGHT SINGLE QUOTATION MARK}".encode()

_PHRASES: Final = tuple(dict.fromkeys(phrase for cue in CUES for phrase in cue.phrases))
_CUES_OF: Final = tuple(
    tuple(number for number, cue in enumerate(CUES) if phrase in cue.phrases) for phrase in _PHRASES
)
# All phrases in one pass, 3 ns a character: docs/decisions/0007-one-automaton-for-all-cues.md.
_find: Final = BytesAhoCorasick(
    [b" %b " % phrase.encode() for phrase in _PHRASES], implementation=Implementation.DFA
).find_matches_as_indexes

_FAR_CUES: Final = frozenset(
    n for n, cue in enumerate(CUES) if cue.category in {REASONING, CODE} or cue.weight == VETO
)
