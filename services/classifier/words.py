"""Words that stand for one another in instructions: the phrases of the tables name these lists in braces."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(" ".join(word.split()) for word in text.split(";"))


WORDS: Final = {
    "this": _words("this; the; the following; the given; the above; each; a given"),
    "text": _words("""
        text; review; tweet; post; comment; message; sentence; article; passage; paragraph; document; email; e mail;
        headline; utterance; ticket; dialogue; dialog; conversation; chat; transcript; abstract; note; report;
        news article; snippet; excerpt; letter; input; product review; customer review; movie review; thread; call;
        meeting; news story; paper; discussion; exchange; log; piece; content; blog post
    """),
    # The same, the commonest.
    "the": _words("the; this; the following; that"),
    "doc": _words("""
        text; article; passage; paragraph; document; story; review; conversation; dialogue; email; paper; report;
        post; message; meeting; news article; chat; transcript
    """),
    "who": _words("author; writer; speaker; reviewer; customer; sender; guest; user; caller; patient"),
    # Names of labels: what a classifier is asked for.
    "label": _words("category; class; label; topic; genre; intent; sentiment; emotion; stance; tag; theme; polarity"),
    "labels": _words("categories; classes; labels; topics; genres; intents; sentiments; emotions; tags; themes"),
    "kind": _words("""
        type; kind; sort; group; section; department; team; queue; language; domain; field; subject; area; level;
        priority; tone; mood; style; folder; bucket; dialect; feeling; register; degree; option; seniority;
        difficulty; formality; nationality; relation; rating; stage; status; audience; attitude; age group; role
    """),
    "kinds": _words("""
        types; kinds; groups; sections; departments; teams; queues; languages; domains; fields; subjects; areas;
        levels; priorities; tones; moods; styles; folders; buckets; options; ratings; degrees; stages; statuses;
        relations; roles
    """),
    "fitting": _words("""
        right; correct; appropriate; most appropriate; suitable; most suitable; best; matching; best matching;
        fitting; best fitting; most likely; single; predicted; relevant; most relevant; main; overall; dominant;
        closest
    """),
    # What is made of a text that says the same in less.
    "make": _words("""
        write; generate; create; produce; give; give me; provide; suggest; compose; draft; make; prepare; output
    """),
    "a": _words("""
        a; an; the; one; a short; a brief; a concise; a one sentence; a suitable; an appropriate; a good; a fitting;
        a single; a clear
    """),
    "summary": _words("summary; abstract; synopsis; recap; tl dr; tldr; digest; overview; gist"),
    "headline": _words("headline; title; heading; subject line; caption"),
    # What is looked for in a text.
    "things": _words("""
        people; persons; names; places; locations; organizations; organisations; companies; products; dates; events;
        countries; cities; entities; drugs; medications; symptoms; diseases; ingredients; skills; amounts; prices;
        terms; concepts; keywords; key phrases; keyphrases; phrases; words; times; brands; features; aspects;
        numerals; verbs; nouns; adjectives; adverbs; pronouns; chemicals; genes; proteins; dish names; authors;
        speakers; characters; tokens; quantities; spans; units; measurements; methods; disease; symptom; person;
        place; location; organization; company; product; date; event; country; city; entity; drug; brand
    """),
    "is": _words("is; was; has; contains; expresses; mentions; talks about; uses; shows; refers to"),
    "judge": _words("assess; judge; evaluate; rate; analyze; analyse; score; examine; grade"),
    # Hard work that may follow an easy task.
    "hard": _words("""
        argue; decide; explain; recommend; evaluate; assess; analyse; analyze; compare; judge; discuss; critique;
        justify; solve; calculate; improve; predict; advise; prove; estimate
    """),
    "program": _words("""
        program; script; function; class; query; regex; pipeline; module; macro; bot; app; unit test; test; decorator;
        parser; method; component; endpoint; microservice; cli; plugin; shell script; bash script; stored procedure;
        formula; tokenizer
    """),
    "plan": _words("""
        plan; roadmap; curriculum; business plan; proposal; lesson plan; workout plan; meal plan; schedule; strategy;
        campaign; training plan; marketing plan; project plan; syllabus
    """),
    "find": _words("""
        list; find; identify; name; give; locate; return; get; tag; mark; highlight; output; collect; pick; pick out;
        write out; copy; select
    """),
}  # fmt: skip
