"""What speaks for which kind of task: a table of cues with weights that a person can read.

How phrases are written and found is reading.py's; what a category needs to be named is evidence.py's.
"""

from __future__ import annotations

from typing import Final

import msgspec

from shared.contracts import CATEGORIES

EXTRACTION, SUMMARISATION, CLASSIFICATION, REASONING, CODE, GENERAL = range(len(CATEGORIES))

VETO: Final = 20  # more than any easy evidence is meant to outweigh


class Cue(msgspec.Struct, frozen=True):
    """Phrases that count `weight` for `category`, once, however many of them are found."""

    name: str
    category: int
    weight: int
    phrases: tuple[str, ...]
    far: bool = False  # counts in what may be a document too
    form: bool = False  # counts in the names of a form's fields
    form_only: bool = False
    names: bool = True  # says by itself which task it is; others only support what says so


def cue(
    name: str, category: int, weight: int, phrases: str, *,
    far: bool = False, form: bool = False, form_only: bool = False, names: bool = True,
) -> Cue:  # fmt: skip
    return Cue(
        name, category, weight, tuple(" ".join(phrase.split()) for phrase in phrases.split(";") if phrase.strip()),
        far, form or form_only, form_only, names,
    )  # fmt: skip


ENGLISH: Final = (
    # Extraction: what is wanted stands in the text and is copied out of it.
    cue("extract", EXTRACTION, 6, """
        ^extract; ^extracts; ^extracting; ^pull out; ^pull; ^parse out; ^scrape; ^transcribe the fields;
        ^parse the
    """),
    cue("extraction", EXTRACTION, 3, """
        extract; extracts; extracted; extracting; extraction; extractor; information retrieval system; parser;
        wording of the; exact wording; as written; word for word; as it stands; as they appear; as stated;
        do not infer; don't infer; not invent; null for; use null; empty string if; if something isn't there;
        leave empty; otherwise null; or null; missing values; unknown fields; if absent
    """, names=False),
    cue("find and list", EXTRACTION, 2, """
        ^list all; ^list every; ^list the; ^list any; ^list each; ^find all; ^find every; ^find any;
        ^find the names; ^identify all; ^identify any; ^identify the named; ^identify the entities;
        ^identify and list; ^identify each; ^identify every; ^locate; ^locate all; ^highlight; ^highlight all;
        ^mark all; ^mark the; ^collect all; ^collect; ^identify the; ^return all; ^return a list of; ^get all;
        ^get the; ^name all; ^tag all; ^tag the; ^tag each; ^annotate; ^spot all; ^pick out; ^gather all;
        ^retrieve all; ^copy; ^note all; ^enumerate all; ^recognize; ^recognise; ^detect all; ^give me all;
        ^what are all; ^capture; ^capture all; ^record; ^log; ^fetch all; ^isolate; ^select all;
        ^select the words; ^select the tokens; ^find the; ^find; ^output the; ^output all; ^return the names;
        ^return any; ^write down; ^underline; ^save the; ^extract and save; ^note; ^read off; ^look for;
        ^search for; ^take; ^split each; ^split the; ^save every; ^save each; ^save all; ^prefill; ^pre fill;
        ^copy the; ^copy out; ^give every; ^give each; ^state the; ^write out all; ^detect the entities; ^lift;
        ^transfer; ^note down; ^turn each; ^grab; ^fetch; ^record the; ^register; ^enter the; ^for each;
        ^make a list; ^make a list of; ^list out; ^show all; ^show the; ^return who; ^read the; ^quote;
        ^quote the; ^cite; ^copy any; ^indicate all; ^select every; ^select any; ^circle; ^mention all;
        ^tell me all; ^tell me the; ^what are the names; ^who are the; ^which are the; ^what dates;
        ^give the names; ^give all; ^output every; ^output any; ^output each; ^produce all; ^get every;
        ^collect the; ^take the; ^call the function; ^read out
    """),
    cue("stands in text", EXTRACTION, 2, """
        from the following; from the text; from this; from the passage; from the document; from the email;
        from the sentence; from each; from the given; from the conversation; from the article; from the invoice;
        from the description; from the product; from the review; from the message; from the transcript;
        from text; from a given; from the input; from the content; from the context; from unstructured; from it;
        from these; mentioned in; mentioned; that are mentioned; in the text; in the following text;
        in this text; in the sentence; in the following sentence; in the following sentences; in these;
        in this sentence; in the following paragraph; in the following; in the passage;
        in the following passage; in this passage; present in; appear in; appearing in; appears in; found in;
        contained in; stated in; named in; given in; in the text below; in the document; in this document;
        in the email; in this email; in the paragraph; occurring in; referred to in; in the given; in the input;
        in the review; in the tweet; in the conversation; in the dialogue; in the message; in the title;
        in the description; in the article; in the snippet; in the abstract; in the transcript; in the contract;
        from user; from what; present in the; found within; within the text; every person; that occurs;
        occurs in; occur in; below is a; given in the; that the text states; the text states; from each line;
        line below; is silent; not stated; is mentioned; are mentioned; found in the email
    """, names=False),
    cue("entities", EXTRACTION, 3, """
        named entity; named entities; entity recognition; entity types; entity type; entity extraction;
        entities; ner; ner tags; entity; tokens; token; bio; mentions of; relation triples; triples; spans;
        span; aspect terms; aspect term; opinion terms; entity name; named entity recognition; pii;
        personally identifiable; noun phrase; chunks; coreference; relations between; subject and object;
        people mentioned; persons mentioned; places mentioned; companies mentioned; names only; their names;
        who are the people; what are the places; which people are; which companies are; which products are;
        place names; proper names; product names; mentioned in this article; person or organization; per loc;
        org; token tag; each token; company |; person |; location |; ner tagging
    """),
    cue("keywords", EXTRACTION, 3, """
        keywords; key words; key phrases; keyphrases; key phrase; keyword; key concepts; key terms;
        noun phrases; verbatim; exact words; exact phrase; hashtags; proper nouns; proper names;
        important words; essential terms; key phrases found; found in the abstract; action items; tasks that;
        explicitly stated; who has to
    """),
    cue("attributes", EXTRACTION, 2, """
        attributes; attribute; attribute values; attribute value; values of; key value; key value pairs; slots;
        slot; slot values; properties; fields; following fields; fields to; n a; if the value; is not present;
        not mentioned; leave it blank; leave blank; not found in the; if not found; if missing; null if
    """, names=False),
    cue("particulars", EXTRACTION, 2, """
        names; dates; date; phone number; phone numbers; email addresses; email address; addresses; address;
        prices; invoice number; order number; total amount; line items; line item; product names; company names;
        locations; person names; people; persons; organizations; organisations; quantities; amounts;
        ingredients; skills; brand; model name; model names; serial number; job titles; full name; postal code;
        order id; currency; deadlines; diseases; genes; symptoms; medications; drugs; owner; due; cause |;
        effect |; responsible person; task owner; merchant; vendor; invoice no; payment method; weight;
        dimensions; voltage; notice period; governing law; timestamp; error code; sku; qty; person name;
        details; signature; delivery date; relation; object; subject; job title; salary; employer; deadline;
        policy number; name age; first name; last name
    """, names=False),
    cue("into form", EXTRACTION, 5, """
        into json; into a json; into valid json; into structured; into a structured; into structured data;
        into csv; into a table; into the following schema; into the following format; into this schema;
        into this format; into yaml; into xml; requests into json; request into json; json object of type;
        translated into a json object; translates user requests; parsed objects; ^fill in; ^fill out; ^populate;
        ^convert the following; ^structure the; structured format from; form the following;
        ^turn this into json; ^normalize; ^normalise; ^map the following; json object with keys;
        object with keys; with the keys; with keys; json with the; json with keys; json keys; object with the;
        with fields; with the fields; keys |; fields |; slots |; columns |; as a table with; as key value;
        key value lines; with these columns; with columns; json holding; key value pairs for; csv with header;
        fill in the form; fill the form; complete the form; complete the fields; details found in;
        with the details; i need |; value lines; reply as; form with the; populate the
    """),
    cue("json", EXTRACTION, 1, """
        json; json schema; json format; as json; json object; valid json; json array; schema; csv; yaml; xml;
        typescript definitions; following schema; output format; structured; structured data; return only;
        return json; output json; json only; valid json only; in json; as json with
    """, names=False),
    cue("describes", EXTRACTION, 4, """
        ^what describes; describes person; ^which words; ^which phrases; ^which entities; ^what entities;
        ^what dates; ^what are the topics; ^what topics; ^what are the concepts; ^which spans; ^what names;
        ^which names
    """),
    cue("form's name", EXTRACTION, 4, """
        entities $; extracted $; extraction $; keywords $; key phrases $; keyphrases $; json $; concepts $;
        topics $; names $; dates $; attributes $; values $; locations $; extracted entities $;
        extracted information $; all the key concepts $; tags $; slots $; fields $; result in json $; tuples $;
        triples $; terms $
    """),
    # Summarisation: the same, shorter.
    cue("summarise", SUMMARISATION, 6, """
        ^summarize; ^summarise; ^summarizes; ^summarises; ^summarizing; ^summarising; ^sum up; ^tl dr; ^tl | dr;
        ^tldr; ^recap; ^condense; ^abridge; ^condenses; ^shorten this; ^shorten the; ^shorten; ^boil down;
        ^distill; ^distil; ^give a summary; ^give me a summary; ^provide a summary; ^write a summary;
        ^generate a summary; ^create a summary; ^produce a summary; ^write the summary; ^make a summary;
        ^write summary; ^write an abstract; ^compress the; ^reduce the text; ^reduce this;
        ^draft a summary; ^prepare a summary; ^compose a summary; ^provide me with a summary; ^write a tl dr;
        ^write a tldr; ^create an abstract; ^sum the; ^outline the; ^summarize it; ^make it shorter;
        ^make this shorter; ^make shorter; ^boil the; ^boil; ^compress; ^compress it; ^digest; ^produce minutes;
        ^trim; ^cut this down; ^cut it down; ^reduce
    """),
    cue("summarising", SUMMARISATION, 4, """
        summarize; summarise; summarizes; summarises; summarizing; summarising; summarized; summarised;
        summarization; summarisation; summarizer; summariser; tl dr; tl | dr; tldr; condense; condensed; recap;
        in a nutshell; boils down to; shorter version; boil down to; condensing; gist of; summed up;
        short version of; sums up; recaps; recap style; minutes style; digests; compress it; compress;
        compressed; boil the; shortened; condenses; abridged; highlights; what is this about; tighter version;
        digest
    """, names=False),
    cue("a summary", SUMMARISATION, 7, """
        summary of the; summary of this; summary of; summary for this; summary for the; summary for;
        short summary; brief summary; concise summary; one sentence summary; two sentence summary;
        one paragraph summary; detailed summary; executive summary; sentence summary; summary in; a summary;
        an abstract; short abstract; brief abstract; summary that; abstract of; abstract for; synopsis;
        synopsis of; brief overview of the; highlights of; news highlights; summaries of; plot summary;
        meeting summary; bullet point summary; summary sentence; summary should; summary must; short summaries;
        digest of; abstractive; extractive summary; summary using; quick summary; outline of the following;
        highlights for; tldr for; tl dr for; summary paragraph; an overview of the; write highlights; a tldr;
        a tl dr; the gist; brief description of what
    """),
    cue("summary", SUMMARISATION, 1, """
        summary; summaries; abstract; gist; overview; digest; synopsis; shorter; in short; short form;
        the summary; your summary
    """, names=False),
    cue("key points", SUMMARISATION, 6, """
        key points; main points; key takeaways; main takeaways; takeaways; minutes of the meeting;
        meeting notes; action items; most important points; main ideas; main idea of; main idea; central idea;
        key ideas; the essentials; essence of; most important information; key information; important details;
        main message; key facts; highlights; what this text is about; what is this text about;
        what the text is about; what is the article about; what is this article about; what is this about;
        what is the passage about; main topic and key; what happened in this; main content;
        main points one should remember; what are the main points; what is the main point; what is the essence;
        the main point; core ideas; short cards; in essence; the core of; important points; the short version;
        a short version; short version; quick version; catch me up; up to speed; what did i miss;
        what was decided; what was said; what they decided; in a nutshell; write up the minutes; the minutes in;
        meeting minutes; bring me up; pros and cons mentioned; what is going on in; the long and short;
        the essential; only the essentials; one liner for; what this says; what does it say; what it says;
        main takeaway; the takeaway; boiled down; brief account; main events; main facts; lay summary;
        lay person; captures what; captures the; what buyers think; what customers say; what people say;
        couple of lines; in a couple; abridged version; abridged; for the public; headings; one short line;
        leadership; for executives; elevator pitch; quick read; for busy; what happened in; synopsis of;
        lecture notes; recap of; handover; minutes summary
    """),
    cue("its length", SUMMARISATION, 1, """
        in one sentence; in a sentence; in a single sentence; in two sentences; in three sentences;
        one or two sentences; in a few sentences; in one paragraph; in a paragraph; bullet points; bullets;
        in fewer than; no more than; at most; in under; words or less; words or fewer; sentences or less;
        few words; short; brief; concise; briefly; one sentence; in your own words; single sentence;
        couple of sentences; in around; in about; in brief; in points; in a few points; to few words;
        in a few words; in less than; under 50 words; 50 words; 100 words; 2 3 sentences; 3 sentences;
        two sentences; three sentences; 5 bullet points; one line; in one line; five bullets; three bullets;
        exactly; max; maximum; words max; at most two; one plain english line; per section; sixth of;
        half the length; a third of; words; 3 bullets; 5 bullets; in one or two; one line per; telegraphic;
        for people who missed
    """, names=False),
    cue("summary's name", SUMMARISATION, 5, """
        summary $; tl dr $; tl | dr $; tldr $; abstract $; in summary $; short summary $; concise summary $;
        summarization $; summarized $; summarized version $; in short $; key points $; to summarize $;
        summarize $; summarise $; summarized text $; main points $; to sum up $; in one sentence $;
        highlights $; one sentence summary $; simple idea that $; main idea $; brief $; shortened $; recap $;
        gist $; in a nutshell $; the summary $; the summary is $; short version $; shorter $;
        in brief $; essence $; takeaways $; one line $; brief summary $; sum $; resumo $; resumen $; résumé $;
        zusammenfassung $; riassunto $; samenvatting $; streszczenie $; кратко $; özet $
    """),
    # Classification: one of a few labels.
    cue("classify", CLASSIFICATION, 6, """
        ^classify; ^classifies; ^classifying; ^categorize; ^categorise; ^categorizes; ^categorises;
        ^categorizing; ^label; ^label each; ^label the; ^label this; ^assign; ^assign one; ^assign a;
        ^assign the; ^route this; ^route the; ^triage; ^triage this; ^detect the; ^detect whether; ^detect if;
        ^detects; ^detect; ^tag this; ^flag; ^flag any; ^sort the following into; ^sort these into; ^bucket;
        ^prioritize this ticket; ^grade the sentiment; ^rate the sentiment; ^route; ^route support; ^route each;
        ^sort each; ^place each; ^put each; ^group each; ^bin
    """),
    cue("classifying", CLASSIFICATION, 4, """
        classify; classifies; classifying; categorize; categorise; categorizing; classified; categorized;
        classification; classifier; classified as; categorized as; belongs to which; belong to; falls under;
        falls into; fall into; content moderation; intent detection; intent classification; sentiment analysis;
        text classification; topic classification; spam detection; language identification; language detection;
        labeled; labelled; labeling; labelling; categorization; sentiment classification; moderation
    """, names=False),
    cue("which label", CLASSIFICATION, 6, """
        which category; what category; pick one category; choice of categories;
        which of the following categories; one of the following categories; following categories;
        one of these categories; list of categories; the category; one of the following labels;
        one of these labels; choose the category; following labels; which label; which class;
        one of the following classes; following classes; which topic; what topic; what is the topic;
        which genre; what genre; which intent; what intent; the intent of; user's intent; which department;
        which team; which queue; which language; what language; the language of; language is this; best label;
        correct label; appropriate label; appropriate category; correct category; best category;
        category that best; label that best; best describes; text refers to which; which type of; what type of;
        what kind of; one of the following options; topic of this; one of the following topics;
        following topics; categories are; labels are; classes are; possible labels; possible categories;
        possible values; possible classes; predefined categories; given categories; given labels;
        set of categories; set of labels; category from; one of the classes; target classes; candidate labels;
        what label; label best; label this; which section; section of a newspaper; what is the intent;
        help page; which tag; what tag; type of this; kind of this; into one of; one of these classes;
        either of; as either; as one of; as exactly one; categories below; labels below; following topics are;
        the class of; to which class; which product category; which of these categories; what sort of;
        question type; type of question; most appropriate category; correct department; which bucket;
        the topic of this; which domain; its category; its class; its topic; exactly one queue; fits best;
        that fits; fit best; best fits; it belongs to; belongs in; goes to; should go to; exactly one;
        one category code; what language is; which school; from this list; allowed labels; one label per;
        category code; subject it belongs; which desk; which area; which folder; what document;
        kind of document; the kind of; ^map; exactly one of; the type of; kind of answer; its type;
        what is the topic of; what topic does; rate the product; rate this; stars $; how many stars;
        possible queues; queues; into one of these groups; one of these groups; following groups; these groups;
        groups |; which of the following best; group $; belongs under; matches best; best match;
        most likely category; falls into which; under which; which heading; into which; spending category;
        level is; the register; dialogue act; specialty; are assigned to a; is assigned to a; urgent normal;
        risk high; act |; act $; chapter from; hs chapter; into a level; the vacancy into; into a category;
        into categories; one of those words; into groups; into one category; say which; tell which;
        which one of; what thing; kind of thing
    """),
    cue("choose", CLASSIFICATION, 4, """
        ^choose the; ^choose; ^pick the; ^pick; ^select the; ^select; ^map the; ^map each; ^map; ^mark each;
        ^grade; with one of; from the list; following list; list below; allowed values; choose between;
        choose one of; select one of; pick one of; choose from; pick from; select from; from the options;
        from these options; from the following options; options are; closest
    """, names=False),
    cue("labels", CLASSIFICATION, 2, """
        categories; label; labels; category; class; classes; genre; intent; intents; topic; topics; tags; tag;
        enum
    """, names=False, form=True),
    cue("sentiment", CLASSIFICATION, 7, """
        sentiment; positive or negative; positive negative or neutral; positive negative neutral;
        negative or positive; positive neutral or negative; polarity; emotion; emotions expressed;
        emotion expressed; the tone of; what emotion; which emotion; mood of; feeling expressed;
        is this review positive; a positive review; negative neutral or positive; favorable or unfavorable;
        happy or sad; satisfied or dissatisfied; feel about; feels about; reviewer feel; reviewer like;
        reviewer enjoy; enjoy the; customer satisfied; star rating; how many stars; rating from 1 to 5;
        positive or; negative or; happy unhappy; feeling of; feelings; emotional; optimistic or pessimistic;
        bullish or bearish; opinion about; the polarity; polarity towards; sentiment towards; rate the product;
        would this reviewer; is the opinion; opinion positive; positive review; negative review; pleased or;
        a fan of; formal informal; formal or informal; likely to churn; churn risk; informal or;
        rate the register; the tone
    """, form=True),
    cue("is it one", CLASSIFICATION, 6, """
        spam; spam or not; spam or ham; phishing; toxic; toxicity; hate speech; hateful; offensive; abusive;
        profanity; nsfw; sarcastic; sarcasm; sarcasm or not; ironic; clickbait; stance; subjective or objective;
        formal or informal; humor; a joke or; joke or not; fake news; propaganda; bot or human; urgent or not;
        urgency; relevant or not; relevant or irrelevant; ^is this spam; duplicate or not; ^is it toxic;
        suicidal; distress; harassment; supportive; humorous; plagiarized; a complaint; complaint or; bullying;
        misinformation; severity; is grammatically; contains hate; acceptable or; unacceptable;
        grammatically correct; contain hate; personal attack; sexist; racist; violent; self harm;
        safe or unsafe; unsafe content; policy violation; violates; fraud or; fraudulent; is a question;
        bullish; factual or; opinion or fact; fact or opinion; paraphrase of each other; duplicates;
        same meaning; is english; metaphorical or literal; is sarcastic; ironic or not; harmful;
        prompt injection; jailbreak
    """),
    cue("yes or no", CLASSIFICATION, 3, """
        yes or no; yes no; answer yes; answer only yes; only yes or no; reply yes or no; yes if; no otherwise;
        1 or 0; 0 or 1; 0 otherwise; true or false only; return true if; return false; yes otherwise; or no;
        respond yes; output yes; answer with yes; output 1; return 1; say yes; indicated as no; output either;
        or not; 'yes' if; 'yes' or 'no'; 'no' otherwise; 'yes' otherwise; true if; false otherwise;
        true otherwise; yes else no; no if; reply true or false; answer with no; 'positive' or 'negative';
        otherwise no; otherwise false; otherwise 0; answer yes or no; yes or no $; yes or no ? $; not ? $
    """, names=False),
    cue("whether", CLASSIFICATION, 3, """
        ^determine whether; ^determine if; ^decide whether; ^decide if; ^identify whether; ^identify if;
        ^check whether; ^check if; ^tell whether; ^tell if; ^tell me whether; ^tell me if; ^say whether;
        ^say if; ^predict whether; ^indicate whether; ^indicate if; ^verify whether; ^judge whether;
        ^determining whether; ^deciding whether; ^assess whether; ^identify the sentiment;
        ^identify the emotion; ^identify the language; ^identify the topic; ^identify the category;
        ^identify the intent; ^choose the most appropriate label; ^choose the correct; ^identify the type;
        ^is the following; ^is this; ^does this; ^is the sentence; ^is the tweet; ^is the review; ^is the text
    """),
    cue("only the label", CLASSIFICATION, 4, """
        only the label; just the label; label only; category name only; only the category; just the category;
        single label; single category; only one label; only one category; only the class; one word answer;
        single word; one word; do not explain; no explanation; without explanation; don't explain;
        do not provide any explanation; no preamble; with the label; with a single; exactly one of; only with;
        only one of; one of the labels; nothing else; best matching label; as the label; your verdict as;
        your verdict; verdict; your score in; rating; label of the category; no other text; and nothing else;
        respond with only; generate label; label only the; one label; return the label; output the label;
        output the category; return the category; return only the category; respond with the category;
        respond with one; reply with one; answer with one; answer with the; reply only with; output only one;
        respond only with; reply with exactly; reply with only; output exactly one; give only the;
        without any explanation; no other words; a single word; one of these words; name only; only the name;
        code only; only the code; label and nothing; queue name; the number only; only a number; only say;
        one letter; a letter; letter only; iso 639; single letter; in one word; ^reply with; ^respond with;
        ^answer with; ^answer only; ^output one; ^output only; ^return one; ^return only; only the letter;
        only the number; bare; digit only; just the number; reply as; lines only; no prose; value lines only
    """, names=False),
    cue("label's name", CLASSIFICATION, 5, """
        label $; category $; sentiment $; class $; topic $; intent $; language $; emotion $; genre $;
        label is $; stance $; classification $; category is $; sentiment is $; topic is $; tone $; polarity $;
        spam or intent is $; labels $; department $; the category $; type $; priority $; toxic $;
        predicted label $; language is $; categories $; output label $; predicted class $; archive $; kind $;
        subject $; section $; stars $; rating $; score $; severity $; queue $; team $; field $; domain $;
        mood $; opinion $; level $; kategorie $; categoría $; categoria $; catégorie $; sentimiento $;
        sentimento $; stimmung $; категория $; tema $; thema $; intention $; spam $; decision $
    """),
    # Reasoning: the answer does not stand in the text.
    cue("step by step", REASONING, VETO, """
        step by step; step wise; stepwise; chain of thought; show your work; show your working; show your steps;
        think carefully; think through; think hard; let's think; think it through; show all steps; show all work
    """, far=True),
    cue("prove", REASONING, VETO, """
        ^prove; ^disprove; ^derive; ^refute; prove that; by induction; induction argument; ^show that;
        necessary and sufficient; q e d
    """, far=True),
    cue("proof", REASONING, 6, """
        proof; proofs; theorem; lemma; axiom; corollary; conjecture; derivation
    """),
    cue("work it out", REASONING, 8, """
        ^calculate; ^compute; ^solve; ^evaluate the expression; ^simplify the; ^integrate; ^differentiate;
        ^factor
    """),
    cue("compute", REASONING, 5, """
        equation; equations; probability; integral; derivative; polynomial; algebra; geometry; arithmetic;
        inequality; matrix; modulo; physics; formula; mathematical; mathematics; math problem; math; quadratic;
        calculate; compute; calculation; calculations; solve; evaluate the expression; simplify; sum of the;
        average of; square root; logarithm; prime numbers; prime number; factorial; theorem; trigonometry;
        how fast; velocity; ratio of; percent of; per hour; twice as; times as; half of the; each of them
    """),
    cue("how many", REASONING, 4, """
        how many; how much; how long; how far; how old; how often; how fast; in total; altogether; how tall;
        at this rate; count the; number of; the total number
    """),
    cue("inference", REASONING, VETO, """
        entail; entails; entailed; entailment; premise; premises; hypothesis; neutral or contradiction;
        follows from; follow from; contradicts; contradict; contradiction; must be true; could be true;
        can be inferred; can we infer; syllogism; counterfactual; logically follows; implies that;
        necessarily true; statement 1; statement 2; true or false or; both statements
    """),
    cue("logic", REASONING, 7, """
        valid or invalid; deductively; fallacy; fallacies; puzzle; riddle; riddles; logically; tells the truth;
        checkmate; chess; inferred; inference; deduce; deduction; counterexample; paradox; logic; logical;
        true or false; infer; causal; cause or effect; cause and effect; causation; more plausible; plausible;
        analogy; analogies; is to as; odd one out; next in the sequence; common sense; commonsense; more likely;
        most likely to; what happens next; implied; implies; ordering of events; temporal order; event duration;
        multi hop; hypothetically; what would happen
    """),
    cue("choices", REASONING, 5, """
        | b |; | c |; choice |; option |; multiple choice; answer choices; correct option; correct answer;
        right answer; best answer; correct choice; correct letter; following choices; possible answers
    """, far=True),
    cue("why", REASONING, 8, """
        why; ^explain; ^explains; ^justify; justification; rationale; root cause; what causes; what caused;
        reason for; reasons for; how come; reasoning; ^reason about; ^reason; explain why; explain how;
        explain your; your reasoning; and explain; explanation for; with an explanation; explaining;
        think about; give reasons; interpret
    """),
    cue("reasons asked", REASONING, 4, """
        reasoning; chain of thought; rationale; explanation; thought; thoughts; steps; plan; solution; analysis;
        hypothesis; conclusion; answer; answer |; recommendation; recommendations; strategy; argument; critique;
        next step
    """, form_only=True),
    cue("judge", REASONING, 8, """
        ^judge; ^judges; ^evaluate; ^evaluating; ^assess; ^assessing; ^critique; critically; ^compare;
        ^comparing; ^contrast; trade off; trade offs; tradeoff; tradeoffs; pros and cons; ^weigh; versus;
        which is better; strengths and weaknesses; ^argue; implications; implication; consequences; ^analyse;
        ^analyze; ^analysing; ^analyzing; in depth; insights; inconsistencies; contradictions; discrepancies;
        anomalies; impartial judge; quality of the response; compare and; quality of the; better response;
        evaluate the; feedback on; ^review the; ^review my; peer review; analyze and; scale of 1 to 10;
        scale of 1 to 5; rubric; grade the; ^rank; ^score; audit; ^audit; faithfulness; factual consistency;
        hallucination; hallucinations; claim by claim; supports it; grade from; overall grade; verify each;
        fact check; cross check; double check; find the flaw; weaknesses; stress test; sanity check
    """),
    cue("decide", REASONING, 6, """
        should i; should we; what should; ^recommend; ^recommends; ^advise; advice; best course; what would you;
        optimal; ^optimise; ^optimize; optimization; ^prioritise; ^prioritize; strategy; strategic; ^forecast;
        ^predict; ^estimate; estimate how; what if; ^diagnose; ^troubleshoot; ^plan; action plan;
        recommendation; recommendations; next steps; best option; decide what; decide how; decide which;
        what to do; which of these should; should be done; mitigation; for and against; ranked;
        going through every; in turn; one by one; condition of the; every condition; eligibility; eligible;
        entitled; is allowed; comply; complies; compliant; compliance; meet the requirements; suitable for;
        best for; worth; feasible; ^check the
    """),
    cue("law", REASONING, 9, """
        liable; liability; enforceable; legal advice; is it legal; legal risk; legal risks; lawsuit; precedent;
        statute; negligence; legally; lawful; unlawful; breach of contract; enforce; a court would; court would;
        likely to enforce; in breach; contravene; contravenes; unfair terms; under english law; legal position;
        advise on; legal opinion; sue; liabilities
    """),
    cue("medicine", REASONING, 9, """
        differential diagnosis; prognosis; contraindicated; contraindication; contraindications; treatment plan;
        should the patient; is it safe to take; clinical judgement; clinical judgment; drug interaction;
        drug interactions; most likely diagnosis; likely diagnosis; side effects; dosage; differential;
        clinical picture; second opinion; second opinions; triage advice
    """),
    cue("find fault", REASONING, 9, """
        it fails; fails; the flaw; flaw in; flaws; the gap; its gap; a gap in; the mistake; mistakes in;
        is wrong; goes wrong; went wrong; what's wrong; the error in; weak points; holds up; hold up;
        is correct; is right; is valid; is sound; missing from the argument; contradicts itself; inconsistent;
        does it follow; the argument; this argument; check the
    """),
    cue("several steps", REASONING, 6, """
        and then decide; then decide; then explain; then recommend; then write; then propose; and propose;
        and suggest; ^suggest how; ^propose; ^work out; ^figure out; then draft; and draft; and recommend;
        and evaluate; then evaluate; and write a reply; and reply; and respond to; and answer; then answer;
        and compare; then compare; and analyze
    """),
    # Code.
    cue("language", CODE, 4, """
        python; javascript; typescript; java; kotlin; golang; rust; ruby; php; scala; perl; haskell; bash;
        mysql; postgres; postgresql; sqlite; c++; css; react; django; numpy; pandas; pytorch; kubernetes;
        dockerfile; regex; terraform; docker; swift; matlab; html; powershell; node; flask; excel formula;
        verilog; lua; dart; ansible
    """),
    cue("programming", CODE, 7, """
        sql query; sql; ^write a function; a function that; the function; unit test; unit tests; function to;
        test cases; stack trace; traceback; source code; codebase; pull request; repository; ^refactor;
        refactoring; compiler; compile; compiles; algorithm; time complexity; data structure; recursion;
        recursive; api endpoint; program executes; this program; this code; the code; following code;
        code snippet; your code; some code; write code; python function; python code; python script;
        bash script; shell script; ^write a program; ^write a script; pseudocode; microservice;
        schema migration; programmer; ^implement; implement a; commit message; code review; html file;
        radio buttons; web page; webpage; web app; cli; command line; shell command; one liner; script that;
        class that; parser for; regex for; regular expression; spreadsheet; formula; excel; cron; yaml for;
        config for; port this; convert this code; rewrite this in; in python; in rust; in go; in java;
        in typescript; in c++; tests for; test for; docker compose; sql for; query for; schema for; migration;
        scikit; scikit learn; train a; complete code; full code; code with; the code for; code that;
        give me the code; pytest; csv file; pdf; sed; awk; grep; git; library that; plugin; endpoint that;
        decorator; lambda; compile error
    """),
    cue("program parts", CODE, 2, """
        database; api; button; buttons; component; command; library; helper; interface; endpoint; backend;
        frontend; app that; tool that; query; program; loop; variable; variables; handler; handlers; shell;
        script; function; snippet; repository
    """),
    cue("implement", CODE, 12, """
        ^implement; implement a; implement the; write code; ^write a function; ^write a program;
        ^write a script; python function; method that; script that; a function that; from scratch; sql query;
        shell command; unit test; unit tests
    """),
    cue("mend", CODE, VETO, """
        ^debug; debugging; fix the bug; fix this bug; a bug in; the bug; fix the code; fix this code;
        failing test; segfault; memory leak; race condition; deadlock; null pointer; error message when;
        exception in; bug in
    """),
    cue("code words", CODE, 4, """
        def; elif; printf; println; console log; struct; const; async; await; foreach; sizeof; endif;
        public static; import os; import sys; return none; public class; private static; using namespace; func;
        package main; int main; select | from; inner join; class solution; using namespace std; exception;
        nullpointerexception; stderr; exit code; segmentation fault; error |
    """),
    # General: something new is to be made, a question is to be answered, or somebody talks.
    cue("write", GENERAL, 3, """
        ^write; ^compose; ^draft; ^brainstorm; ^come up with; ^invent; ^create; ^creating; ^generate; ^build;
        ^make up; ^suggest; ^continue; ^expand; ^improve; ^produce; ^craft; ^elaborate; ^complete; ^finish;
        ^rewrite; ^edit; ^revise; ^reply to; ^respond to; ^chat; ^imagine; ^describe; ^make; ^give an example;
        ^give me an example; ^give examples; ^develop; ^devise; ^formulate; ^ask; ^say; ^turn these; ^turn this;
        ^turn the; ^expand these; ^flesh out; full report; two page; ^think of; ^give me a; ^give me some;
        ^give me three; ^propose a; ^name a; ^do; deliverable; ^help
    """),
    cue("constraints", GENERAL, 6, """
        ^include keywords; include the keywords; must contain; should contain; at least 3 times;
        contain the word; your entire response; your response should; in your response; in the response;
        the word appears; paragraphs separated; placeholders; all lowercase; capital letters;
        do not use any commas; without using the word; without saying the word; should be exactly;
        markdown divider; wrap your; wrap the entire; postscript
    """),
    cue("make longer", GENERAL, 9, """
        ^expand these; ^expand this; ^expand the; ^flesh out; full report; two page; into a full; ^elaborate on;
        a longer; make it longer; more detailed version; full length; into an article; into a story;
        into an essay; into a report; into prose; into an email
    """),
    cue("reword", GENERAL, 6, """
        ^rephrase; ^paraphrase; ^translate; translation; translations; translated; translate; ^rewrite;
        paraphrase; ^correct; ^proofread; proofread; grammar; simplify this; ^simplify; rewrite; rewriting;
        rephrase; reworded; formal tone; polish this; ^convert to; edit the; style transfer; post edit
    """),
    cue("art", GENERAL, 5, """
        story; poem; song; lyrics; essay; blog; novel; dialogue; a joke; limerick; haiku; speech; slogan;
        tagline; screenplay; cover letter; press release; headline; title for; tweet about; an email to;
        letter to; storyline; movie plot; fiction; rap; script for; advertisement; product description for;
        blog post; marketing copy; ad copy; creative writing; a fake; synthetic; fictional; example of a;
        examples of; sample; a random; random; realistic; persuasive; newsletter
    """),
    cue("role", GENERAL, 6, """
        ^pretend; ^imagine; roleplay; role play; ^act as; you are playing; in the style of; persona;
        as if you were; stay in character; game master; interviewer; chatbot; conversation partner;
        personal assistant; tutor; next utterance; next turn; your turn
    """),
    cue("question", GENERAL, 5, """
        answer the question; answer this question; answer the following; answer my question;
        answer the user's question; question answering; answer to the; answer to this; find an answer;
        find the answer; following question; given question; this question; using the article;
        based on the article; can you find it; a question; questions; question; answer questions; answer users;
        answer user; answer the query; ask me; the answer; based on the context; q a; answer it;
        respond to the question; user question; unanswerable; if you don't know; i don't know; an answer;
        answers to; answering
    """),
    cue("question's mark", GENERAL, 3, """
        question |; answer |; context |; | q |; | a |; answer $; a $
    """),
    cue("ends by asking", GENERAL, 1, """
        ? $
    """),
    cue("asks politely", GENERAL, -2, """
        can you; could you; would you please; will you
    """),
    cue("design", GENERAL, VETO, """
        ^design; design a; design an; design the; design system; architecture; ^architect; roadmap; curriculum;
        business plan; a proposal; ^negotiate; negotiation; lesson plan; workout plan; meal plan; itinerary;
        research paper
    """),
    cue("converse", GENERAL, 4, """
        ^tell me; how do i; how can i; how to; how should; what are the best; what is the best; help me;
        i want to; i need to; can you help; what do you think; how does; what are some; what is a; what is an;
        who is; who was; where is; when did; how would; what would; what does; do you know; ^teach; ^hi; i feel;
        mean ? $; mean by; difference between; the meaning of; means ? $; would be; is it ok; is there a;
        are there any; have you; how long may; may i; do i; can i; should i; fix ? $; thank you note;
        otherwise help
    """),
)  # fmt: skip
