"""What speaks for an easy task: extraction, summarisation, classification. How to read it: cues.py."""

from __future__ import annotations

from typing import Final

from services.classifier.cues import CLASSIFICATION, EXTRACTION, SUMMARISATION, cue

EASY_TASKS: Final = (
    # Extraction: what is wanted stands in the text and is copied out of it.
    cue("extract", EXTRACTION, 6, """
        ^extract; ^extracts; ^extracting; ^pull out; ^pull; ^parse out; ^scrape; ^transcribe the fields; ^parse the;
        ^parse this; ^parse each; ^tokenize and tag; ^pick out
    """),
    cue("extraction", EXTRACTION, 3, """
        extract; extracts; extracted; extracting; extraction; extractor; information retrieval system; parser;
        wording of the; exact wording; as written; word for word; as it stands; as they stand; as they appear;
        as stated; do not infer; don't infer; not invent; null for; use null; empty string if; null; str null;
        string null; float null; if something isn't there; leave empty; otherwise null; or null; missing values;
        unknown fields; if absent; verbatim from; copied from; only what they say; only what it says; what is stated;
        don't guess; never guess; do not guess; unknown |; leaving out; leave out what; parse; slot filling;
        slot filler; resume parser; cv parser; invoice parser; form filler; field extractor
    """, names=False),
    cue("find and list", EXTRACTION, 2, """
        ^list; ^list all; ^list every; ^list any; ^list each; ^list the; ^write down every; ^write down all;
        ^write down each; ^write out every; ^write out all; ^write out each; ^split each; ^split every;
        ^split {the} {doc}; ^take all; ^take every; ^take from; ^find all; ^find every; ^find any; ^write all;
        ^write all the; ^write every; ^write the names; ^find the; ^find the names; ^identify all; ^identify any;
        ^identify the named; ^identify the entities; ^identify and list; ^identify each; ^identify every;
        ^identify the; ^locate; ^locate all; ^highlight; ^highlight all; ^mark all; ^mark the; ^mark every; ^collect;
        ^collect all; ^collect the; ^return all; ^return a list of; ^return every; ^get all; ^get every; ^name all;
        ^name every; ^tag all; ^tag the; ^tag each; ^tag every; ^annotate; ^spot all; ^gather all; ^retrieve all;
        ^copy the; ^copy out; ^copy any; ^note all; ^note down; ^enumerate; ^enumerate all; ^recognize; ^recognise;
        ^detect all; ^detect every; ^detect the entities; ^detect pii; ^give me all; ^give all; ^give every;
        ^give each; ^give the names; ^give the values; ^capture all; ^fetch all; ^select all; ^select every;
        ^select any; ^select the words; ^select the tokens; ^output all; ^output every; ^output any; ^output each;
        ^write down the; ^underline; ^save the; ^save every; ^save each; ^save all; ^prefill; ^pre fill; ^record each;
        ^make a list; ^make a list of; ^list out; ^show all; ^quote the; ^mention all; ^tell me all;
        ^what are the names; ^provide the list; ^provide a list; ^provide all; ^produce all
    """),
    cue("give", EXTRACTION, 1, """
        ^return the; ^get the; ^take |; ^give me the; ^give the; ^output the; ^read off; ^read out; ^read the;
        ^look for; ^search for; ^state the; ^provide the; ^show the; ^mention the; ^take the; ^tell me the;
        ^record the; ^register; ^enter the; ^name the; ^capture; ^fetch; ^grab; ^lift; ^return each; ^write down;
        ^write out; ^return any; ^cite the; ^split the; ^split each; ^isolate; ^circle; ^indicate all
    """, names=False),
    cue("which are named", EXTRACTION, 3, """
        ^who are the speakers; ^who are the participants; ^who are the authors; ^who are the parties; ^from each;
        ^from every; ^which {things} are; ^which {things} does; ^which {things} is; ^what {things} are;
        ^what {things} does; ^what {things} is; ^who is mentioned; ^which {things} do; ^what {things} do;
        ^what are the {things}; ^who are the people; ^{find} all {things}; ^{find} the {things}; ^{find} {things};
        ^write the {things}
    """),
    cue("mentioned there", EXTRACTION, 3, """
        that appear in; that occur in; that are mentioned; which are mentioned; are mentioned in {the} {doc};
        mentioned in {the} {doc}; is mentioned in {the} {doc}; that it mentions; that {the} {doc} mentions;
        that appears in; that {the} {doc} states; that {the} {doc} contains; that occurs in; occurring in {the} {doc};
        it mentions; appearing in {the} {doc}; named in {the} {doc}; appear in {the} {doc}; occur in {the} {doc};
        found in {the} {doc}; stated in {the} {doc}; given in {the} {doc}; present in {the} {doc}
    """),
    cue("attribute value", EXTRACTION, 3, """
        for each of these attributes; the value stated; attribute value pairs; attribute value per line; values only;
        values stated above; only the values; attribute value pair; for each attribute; the following attributes of;
        name value pairs; field value; each of the following fields; each of these fields; for each field;
        give these details; these details; which value does; what value does; value of the slot; slot value
    """),
    cue("stands in text", EXTRACTION, 2, """
        from {this} {text}; in {this} {text}; from a {text}; of {this} {text}; within {this} {text};
        from the following; from the given; from this; from the invoice; from the product; from the request;
        from text; from the content; from the context; from unstructured; from it; from these; mentioned in;
        mentioned; that are mentioned; in the text; in the following text; in the following sentences; in these;
        in the following; present in; appear in; appearing in; appears in; found in; contained in; stated in;
        named in; in the text below; in the paragraph; occurring in; referred to in; in the given; in the title;
        in the description; in the contract; from user; from what; present in the; found within; within the text;
        every person; that occurs; occurs in; occur in; given in the; that the text states; the text states;
        from each line; line below; is silent; not stated; is mentioned; are mentioned; found in the email; in it;
        occurs; it contains; that it states; it states; mentions; required by; refers to; spoken of; below is a;
        out of this; out of the; expressed in; discussed in; described in; covered in; used in; named; occurring;
        mention ? $; does it mention; does {the} {doc} mention; do they mention
    """, names=False),
    cue("entities", EXTRACTION, 3, """
        named entity; named entities; entity recognition; entity types; entity type; entity extraction; entities; ner;
        ner tags; mentions of; aspect terms; aspect term; opinion terms; entity name; proper names;
        named entity recognition; pii; personally identifiable; coreference; people mentioned; persons mentioned;
        places mentioned; companies mentioned; things mentioned; place names; product names; per loc; ner tagging;
        which people are; which companies are; which products are; what are the places; mentioned in this article;
        event triggers; event trigger; personal data; bio tags; bio format; b per; i per; slot filling; slot filler;
        knowledge graph; knowledge triples
    """),
    cue("spans", EXTRACTION, 3, """
        entity; token; tokens; bio; spans; span; triples; relation triples; noun phrase; chunks; relations between;
        subject and object; names only; their names; person or organization; org; token tag; each token; every token;
        each word; every word; company |; person |; location |; persons |; organization |; organizations |; people |;
        places |; names |; dates |; tuples; mentions; subject predicate object; subject relation object; predicate;
        arguments; trigger; triggers
    """, names=False),
    cue("keywords", EXTRACTION, 3, """
        keywords; key words; key phrases; keyphrases; key phrase; keyword; keyphrase; key concepts; key terms;
        hashtags; proper nouns; noun phrases; important words; essential terms; key phrases found;
        found in the abstract; technical terms; action items; explicitly stated; who has to; index terms
    """),
    cue("made of words", EXTRACTION, 4, """
        ^{make} keywords; ^{make} key phrases; ^{make} keyphrases; ^{make} hashtags; ^{make} tags;
        ^{make} the keywords; ^{make} the key phrases; ^{make} a list of keywords; keywords for {the} {doc};
        keywords of {the} {doc}; key phrases of {the} {doc}; ^{make} action items; ^{make} the action items
    """),
    cue("copied", EXTRACTION, 3, """
        verbatim; exact words; exact phrase; exact text; exactly as; comma separated; comma separated list;
        separated by commas; separated by a comma; separated by semicolons; separated by a semicolon;
        semicolon separated; separate them with; separated with; write none; output none; answer none; say none;
        one per line; one each line; if there are none; if there is none; if none; write them; and write it;
        as a list; in order of appearance; in the order; copy it; write it down
    """, names=False),
    cue("attributes", EXTRACTION, 2, """
        attributes; attribute; attribute values; attribute value; values of; key value; key value pairs; slots; slot;
        slot values; properties; fields; following fields; fields to; n a; if the value; is not present;
        not mentioned; leave it blank; leave blank; not found in the; if not found; if missing; null if; values for;
        value for; the value of; the values; parameters; arguments of; specifications; key facts; fields from;
        details about; details of; information about; following information; following details
    """, names=False),
    cue("particulars", EXTRACTION, 2, """
        names; dates; date; time; phone number; phone numbers; email addresses; email address; addresses; address;
        prices; price; invoice number; order number; total amount; line items; line item; product names;
        company names; locations; location; person names; people; persons; organizations; organisations; companies;
        quantities; quantity; amounts; amount; ingredients; skills; brand; model; model name; model names; colour;
        color; size; material; serial number; job titles; full name; postal code; zip; zip code; city; street;
        order id; currency; deadlines; diseases; genes; symptoms; medications; medication; drugs; dose; doses; owner;
        due; cause |; effect |; responsible person; task owner; merchant; vendor; invoice no; payment method; weight;
        width; height; dimensions; voltage; notice period; governing law; timestamp; error code; sku; qty;
        person name; details; signature; delivery date; relation; object; subject; verb; job title; salary; employer;
        deadline; policy number; name age; first name; last name; parties; party size; number of people; born; died;
        birth date; nationality; definitions; outcomes; phrases; measurements; units; numbers; percentages; urls;
        links; events; countries; cities; the total; the sender; departure; arrival; origin; destination
    """, names=False),
    cue("into form", EXTRACTION, 5, """
        into json; into a json; into valid json; into structured; into a structured; into structured data; into csv;
        into the following schema; into the following format; into this schema; into this format; into yaml; into xml;
        requests into json; request into json; json object of type; json of type; translated into a json object;
        translates user requests; ^fill in; ^fill out; ^fill; ^populate; ^turn this into json; structured format from;
        object with keys; json object with keys; json with keys; fill in the form; fill the form; complete the form;
        complete the fields; details found in; fill the slots; fill the fields; fill in the slots; fill in the fields;
        slot filling; populate the; form with the; into triples; to a list of; into a list of; into fields;
        into its parts; into key value; into a record; into an object; into its components; as a record; as json for;
        as a json object for; json for the following
    """),
    cue("as form", EXTRACTION, 3, """
        json with keys; json object with; with the keys; with keys; json keys; with fields; with the fields; keys |;
        fields |; slots |; columns |; as a table with; as key value; key value lines; with these columns;
        with columns; json holding; key value pairs for; csv with header; value lines; table with columns;
        a table with the columns; ^convert the following; ^structure the; ^normalize; ^normalise; ^map the following;
        ^turn each; ^turn the; ^transfer; into a table; the keys; following keys; json pairs; with the details;
        as json pairs; json lines; parsed
    """, names=False),
    cue("json", EXTRACTION, 1, """
        json; json schema; json format; as json; json object; valid json; json array; schema; csv; yaml; xml;
        typescript definitions; following schema; output format; structured; structured data; return only;
        return json; output json; json only; valid json only; in json; as json with; interface; typescript types
    """, names=False),
    cue("describes", EXTRACTION, 4, """
        ^what describes; describes person; ^which words; ^which phrases; ^which word; ^which phrase; ^which entities;
        ^what entities; ^what dates; ^what are the topics; ^what topics; ^what are the concepts; ^which spans;
        ^what names; ^which names; ^which part of the {text}; ^quote the part; ^quote the sentence;
        ^copy the sentence; ^copy the sentences; ^quote the sentences; ^find the sentence; ^find the sentences;
        ^find the phrase; ^which sentence; ^which sentences; ^which part; ^which passage; ^{find} the name of;
        ^{find} the names of
    """),
    cue("form's name", EXTRACTION, 4, """
        entities $; extracted $; extraction $; keywords $; key phrases $; keyphrases $; json $; concepts $; names $;
        dates $; attributes $; values $; locations $; extracted entities $; persons $; organizations $;
        extracted information $; all the key concepts $; slots $; fields $; result in json $; tuples $; triples $;
        terms $; list $; named entities $; people $; places $; companies $; organisations $; skills $; ingredients $;
        drugs $; value $; spans $; hashtags $; action items $
    """),
    # Summarisation: the same, shorter.
    cue("summarise", SUMMARISATION, 6, """
        ^summarize; ^summarise; ^summarizes; ^summarises; ^summarizing; ^summarising; ^sum up; ^tl dr; ^tl | dr;
        ^tldr; ^recap; ^condense; ^abridge; ^condenses; ^shorten this; ^shorten the; ^shorten; ^boil down; ^distill;
        ^distil; ^compress the; ^compress {the} {doc}; ^compress it; ^reduce the text; ^reduce this;
        ^reduce {the} {doc}; ^sum the; ^outline {the} {doc}; ^summarize it; ^make it shorter; ^make this shorter;
        ^make shorter; ^boil the; ^boil {the} {doc}; ^digest; ^cut this down; ^cut it down; ^trim {the} {doc};
        ^shrink {the} {doc}; ^shrink this; ^shrink it; ^{make} {a} {summary}; ^{make} {summary};
        ^provide me with a summary; ^give me the gist; ^give me the short version; ^paraphrase briefly;
        tl | dr version; tldr version; the tl | dr; ^{make} its {summary}; ^{make} meeting notes; ^{make} minutes;
        ^{make} the minutes; ^{make} meeting minutes; ^{make} the minutes of
    """),
    cue("summarising", SUMMARISATION, 4, """
        summarize; summarise; summarizes; summarises; summarizing; summarising; summarized; summarised; summarization;
        summarisation; summarizer; summariser; tl dr; tl | dr; tldr; condense; condensed; recap; in a nutshell;
        boils down to; shorter version; boil down to; condensing; gist of; summed up; short version of; sums up;
        recaps; recap style; minutes style; digests; compress it; compress; compressed; boil the; shortened;
        condenses; abridged; highlights; tighter version; digest; sum up; to sum up; to sum it up; 'tl | dr'; 'tldr';
        summarised as; summarized as; shrink; tl | dr version; tldr version; the tl | dr
    """, names=False),
    cue("a summary", SUMMARISATION, 7, """
        summary of {this} {text}; summary of; summary of the; summary of this; summary for this; summary for the;
        summary for; {a} summary; two sentence summary; detailed summary; executive summary; sentence summary;
        summary in; short abstract; brief abstract; summary that; abstract of; abstract for; synopsis; synopsis of;
        news highlights; plot summary; meeting summary; bullet point summary; summary sentence; summary should;
        summary must; short summaries; digest of; abstractive; extractive summary; summary using;
        outline of the following; tldr for; tl dr for; summary paragraph; an overview of the {text}; write highlights;
        a tldr; a tl dr; the gist; highlights of {the} {doc}; highlights of; highlights for; the gist of;
        gist of {the} {doc}; concise overview; brief overview of; brief overview; summaries of {the} {doc}s;
        summaries of these; outline of {the} {doc}
    """),
    cue("summary", SUMMARISATION, 1, """
        summary; summaries; abstract; gist; overview; digest; synopsis; shorter; in short; short form; the summary;
        your summary; outline
    """, names=False),
    cue("key points", SUMMARISATION, 6, """
        key points; main points; key takeaways; main takeaways; takeaways; most important points; main ideas;
        main idea of; main idea; central idea; key ideas; the essentials; essence of; most important information;
        most important facts; main message; key message; what the text is about; key findings; main findings;
        main topic and key; main content; main point; main points one should remember; what are the main points;
        what is the main point; what is the essence; the main point; core ideas; short cards; important points;
        the short version; short version; quick version; up to speed; what did i miss; what was decided;
        what they decided; write up the minutes; create minutes; write minutes; write the minutes; produce minutes;
        ^produce minutes; ^minutes; bring me up; the long and short; only the essentials; main takeaway; the takeaway;
        boiled down; brief account; main facts; lay summary; abridged version; elevator pitch; quick read;
        synopsis of; recap of; minutes summary; quick rundown; rundown of; decisions and open points; decisions made;
        what was agreed; essential points; essential facts; in three bullets; bullet points that; one liner for;
        what matters most; bottom line; wrap up note; call notes; call note; wrap up; case note; 'in brief';
        handover note; central point; central message; keeping only; only what matters; crux of; nutshell;
        key bullet points; outcome of {the} {doc}; results of {the} {doc}; outcomes of {the} {doc};
        in 20 words or less; bullet point form; highlights from
    """),
    cue("in few words", SUMMARISATION, 4, """
        ^explain in one sentence; ^explain in two sentences; ^explain in a sentence; ^explain in a few;
        ^explain in three; ^explain in at most; ^explain in no more than; ^explain in short; ^explain in brief;
        ^explain briefly what; ^explain what {the} {doc}; ^describe in one sentence; ^describe in two sentences;
        ^describe in a sentence; ^describe in a few; ^describe in at most; ^describe briefly what;
        ^say in one sentence; ^tell me in one sentence; ^state in one sentence; ^put {the} {doc} into;
        ^express {the} {doc} in; ^retell; ^describe {the} {doc} in
    """),
    cue("notes", SUMMARISATION, 3, """
        meeting notes; lecture notes; minutes of the meeting; meeting minutes; minutes from; the minutes in;
        minutes of; plain english; layperson; lay person; a layperson; one line preview; preview
    """, names=False),
    cue("what it says", SUMMARISATION, 5, """
        what {the} {doc} is about; what is {the} {doc} about; what does {the} {doc} say; what {the} {doc} says;
        what it is about; what it's about; what is this about; what they are about; what this is about; catch me up;
        what happened in {the} {doc}; what happens in {the} {doc}; what was said; what people say; what customers say;
        what the customers say; what do the customers say; what buyers think; what do people say; what does it say;
        what it says; what this says; what is going on in; what was discussed; were discussed;
        what {the} {doc} covers; what does {the} {doc} mean in; description of what; summing up what;
        what {the} {doc} describes; what {the} {doc} was about; points made; main events; main topics discussed;
        in essence; the essential; main topic of; important details; key information; key facts; what is reported
    """),
    cue("headline", SUMMARISATION, 6, """
        ^{make} {a} {headline}; {headline} for {the} {doc}; {headline} for it; {headline} for a {text};
        {headline} for this; headline generation; title generation; headline that; title that sums;
        title that describes; its {headline}; suitable {headline}; fitting {headline}; appropriate {headline};
        come up with a {headline}; ^title {the} {doc}; title to {the} {doc}; best {headline} for; good {headline} for;
        {headline} would; best title; good title for
    """),
    cue("its length", SUMMARISATION, 1, """
        in one sentence; in a sentence; in a single sentence; in two sentences; in three sentences; into one sentence;
        one or two sentences; in a few sentences; in one paragraph; in a paragraph; bullet points; bullets;
        in fewer than; no more than; at most; in under; words or less; words or fewer; sentences or less; few words;
        short; brief; concise; briefly; one sentence; in your own words; single sentence; couple of sentences;
        in around; in about; in brief; in points; in a few points; to few words; in a few words; in less than;
        under 50 words; 50 words; 100 words; 2 3 sentences; 3 sentences; two sentences; three sentences;
        5 bullet points; one line; in one line; five bullets; three bullets; exactly; max; maximum; words max;
        at most two; one plain english line; per section; sixth of; half the length; a third of; words; 3 bullets;
        5 bullets; in one or two; one line per; telegraphic; for people who missed; one short line; couple of lines;
        in a couple; one plain sentence; tweet length; plain language; for busy
    """, names=False),
    cue("how short", SUMMARISATION, 2, """
        into one sentence; into a single sentence; into a sentence; into two sentences; to one sentence;
        to a single sentence; to two sentences; to tweet length; in one sentence what; in two sentences what;
        in a sentence what; in short what; in brief what; in one sentence | what; into one plain sentence; down to;
        overall; in simple terms what; into three bullets; into bullet points; as three bullets; as bullet points;
        as bullets; in bullet points
    """, names=False),
    cue("summary's name", SUMMARISATION, 5, """
        summary $; tl dr $; tl | dr $; tldr $; abstract $; in summary $; short summary $; concise summary $;
        summarization $; summarized $; summarized version $; in short $; key points $; to summarize $; summarize $;
        summarise $; summarized text $; main points $; to sum up $; in one sentence $; highlights $;
        one sentence summary $; simple idea that $; main idea $; brief $; shortened $; recap $; gist $;
        in a nutshell $; the summary $; the summary is $; short version $; shorter $; headline $; in brief $;
        essence $; takeaways $; one line $; brief summary $; sum $; resumo $; resumen $; résumé $; zusammenfassung $;
        riassunto $; samenvatting $; streszczenie $; кратко $; özet $; short $; as follows $; digest $; overview $;
        synopsis $; to sum it up $; key takeaways $; bullet points $; condensed $; condensed version $; rundown $;
        main point $; can be summarised as $; summarized as $
    """),
    # Classification: one of a few labels.
    cue("classify", CLASSIFICATION, 6, """
        ^classify; ^classifies; ^classifying; ^categorize; ^categorise; ^categorizes; ^categorises; ^categorizing;
        ^label; ^label each; ^label the; ^label this; ^route this; ^route the; ^triage; ^triage this;
        ^sort {the} {doc} into; ^sort the following into; ^sort these into; ^sort it into; ^sort them into; ^route;
        ^route support; ^route each; ^sort each; ^place each; ^put each; ^assign {this} {label}; ^assign a {label};
        ^assign one; ^assign {the} {doc}; ^assign the {fitting} {label}; ^bucket; ^tag this; ^flag; ^flag any;
        ^prioritize this ticket; ^grade the sentiment; ^rate the sentiment; ^divide into; classify it; classify them;
        classify {the} {doc}; classify each; categorize it; categorise it; categorize them; categorize {the} {doc};
        label it as; ^assign it; ^assign them; assign it to; sort it into; classify into; classified into one
    """),
    cue("assign", CLASSIFICATION, 3, """
        ^predict the {label}; ^predict the {kind}; ^guess the {label}; ^guess the {kind}; ^tell the {label};
        ^tell the {kind}; ^determine the {label}; ^determine the {kind}; ^identify the {label}; ^identify the {kind};
        ^recognise the {label}; ^recognize the {label}; ^decide the {label}; ^give the {label}; ^name the {label};
        ^return the {label}; ^output the {label}; ^return the {kind}; ^output the {kind}; ^identify its {kind};
        ^identify its {label}; ^name the {kind}; ^give the {kind}; ^pick the {label}; ^pick the {kind};
        ^choose the {label}; ^select the {label}; ^find the {label}; ^find the {kind}; ^rate this; ^rate {the} {doc};
        ^determine its {kind}; ^determine its {label}; ^{judge} the {label}; ^{judge} its {label}; ^tell its {kind};
        ^detect the {label}; ^detect the {kind}; ^predict its {label}; ^state the {kind}; ^state the {label};
        ^decide the {kind}; ^tick; ^predict the number of stars; ^answer with the {kind}; ^reply with the {kind};
        ^respond with the {kind}; ^say the {kind}; ^answer with the {label}; ^reply with the {label};
        ^respond with the {label}; ^give the budget category; ^give its {label}; ^give its {kind}; ^name its {kind};
        ^name its {label}; ^tick the; ^put it in; ^put it into; ^file it under; ^file under; ^sort it under
    """),
    cue("detect", CLASSIFICATION, 3, """
        ^assign; ^assign a; ^assign the; ^detect; ^detect the; ^detect whether; ^detect if; ^detects; ^group each
    """, names=False),
    cue("classifying", CLASSIFICATION, 4, """
        classify; classifies; classifying; categorize; categorise; categorizing; classified; categorized;
        classification; classifier; classified as; categorized as; belongs to which; belong to; falls under;
        falls into; fall into; content moderation; intent detection; intent classification; sentiment analysis;
        text classification; topic classification; spam detection; language identification; language detection;
        labeled; labelled; labeling; labelling; categorization; sentiment classification; moderation; content filter;
        routing; you moderate; moderator; router; annotator; sorted into; tagger; classify it; classify them;
        classify {the} {doc}; classify each; categorize it; categorise it; categorize them; categorize {the} {doc};
        label it as; classify into; classified into one
    """, names=False),
    cue("which label", CLASSIFICATION, 6, """
        which {label}; what {label}; which of {this} {labels}; one of {this} {labels}; one of these {labels};
        following {labels}; list of {labels}; choice of {labels}; set of {labels}; possible {labels};
        predefined {labels}; candidate {labels}; target {labels}; allowed {labels}; {labels} are; {labels} below;
        {fitting} {label}; {label} of; {label} of the question; {label} of the query; the intent of; user's intent;
        label that best; category that best; category that; label that; text refers to which; pick one category;
        category from; one {label} from; one of the labels; one of the categories; one category; one label;
        into a category; into one category; into categories; one of several categories; one label per; label best;
        label this; dialogue act; question type; type of question; spending category; section of a newspaper;
        level is; are assigned to a; is assigned to a; exactly one queue; category code; one category code; help page;
        the category; its category; its class; its topic; the class of; the topic of; the genre of;
        under which heading; most likely category; its intent; to which class; to which category; given {labels};
        each {label}; these {labels}; {labels} |; the {label} to which
    """),
    cue("which kind", CLASSIFICATION, 3, """
        which {kind}; what {kind}; {fitting} {kind}; one of {this} {kinds}; following {kinds}; possible {kinds};
        allowed {kinds}; candidate {kinds}; predefined {kinds}; the {kind} of; its {kind}; {kinds} are; {kinds} below;
        which team should; which department should; type of {the} {doc}; kind of {the} {doc}; language of {the} {doc};
        into which; under which; as one of; as exactly one; into one of; into one of these groups;
        one of these groups; these groups; part of speech; falls into which; belongs under; belongs in; it belongs to;
        belongs to; which of these; which one of; which of the following; best describes; describes best; fits best;
        best fits; fit best; that fits best; matches best; best match; one of those words; exactly one of;
        from this list; say which; tell which; risk level; the level of; level of; kind of answer; kind of document;
        kind of thing; the kind of; what does the {who} want; what the {who} wants; what is the {who} asking;
        what is the {who} trying; which language; what language; language is this; the language of; what language is;
        which heading
    """),
    cue("choose", CLASSIFICATION, 3, """
        ^choose the; ^choose; ^pick the; ^pick; ^pick one; ^select the; ^select; ^select one; ^choose one; ^map the;
        ^map each; ^map; ^mark each; ^grade; with one of; from the list; following list; list below; allowed values;
        choose between; choose one of; select one of; pick one of; choose from; pick from; select from;
        from the options; from these options; from the following options; options are; closest; one of the following;
        options |; either of; as either; either; one of these; out of |; among |; choose one |; pick one |;
        possible values; {kinds} |; from among
    """, names=False),
    cue("labels", CLASSIFICATION, 2, """
        categories; label; labels; category; class; classes; genre; intent; intents; topic; topics; tags; tag; enum;
        theme; polarity
    """, names=False, form=True),
    cue("sentiment", CLASSIFICATION, 7, """
        sentiment; positive or negative; positive negative or neutral; positive negative neutral;
        negative or positive; positive neutral or negative; polarity; emotion; emotions expressed; emotion expressed;
        the tone of; what emotion; which emotion; mood of; feeling expressed; is this review positive;
        negative neutral or positive; favorable or unfavorable; favourable or unfavourable; happy or sad;
        satisfied or dissatisfied; feel about; feels about; feeling does; reviewer feel; reviewer like;
        reviewer enjoy; customer satisfied; star rating; how many stars; rating from 1 to 5; number of stars;
        positive or; negative or; happy unhappy; optimistic or pessimistic; good or bad; good or a bad; bad or good;
        bullish or bearish; the polarity; polarity towards; sentiment towards; rate the product; stars did;
        would this reviewer; is the opinion; opinion positive; pleased or; formal informal; formal or informal;
        likely to churn; churn risk; informal or; rate the register; the tone; how positive; how negative;
        positive very negative; stars the; from one to five stars; 1 to 5 stars; one to five stars; positive mixed;
        stars from; stars out of; good bad or neutral; emotion does; emotion is; feeling does the; attitude towards;
        attitude of; is it positive; if it is positive; in favor of or; in favor or against; in favour of against;
        in favor of against; for or against; in favor against; favor against; favour against; stance
    """, form=True),
    cue("feelings", CLASSIFICATION, 4, """
        feeling; feelings; emotional; emotions; mood; a positive review; a negative review; positive review;
        negative review; opinion about; what opinion; opinion of; reviewer; enjoy the; a fan of; the customer happy;
        customer happy; happy with; satisfied with; positive; negative; neutral; recommends the;
        recommend the product; recommend this product; recommend it; like the movie; like the product; like the place;
        guest like
    """, names=False),
    cue("is it one", CLASSIFICATION, 6, """
        spam; spam or not; spam or ham; phishing; toxic; toxicity; hate speech; hateful; offensive; abusive;
        profanity; nsfw; sarcastic; sarcasm; sarcasm or not; ironic; irony; clickbait; subjective or objective; humor;
        a joke or; joke or not; fake news; propaganda; bot or human; urgent or not; not urgent; how urgent; urgency;
        relevant or not; relevant or irrelevant; not relevant; ^is this spam; duplicate or not; ^is it toxic;
        suicidal; distress; harassment; supportive; humorous; plagiarized; a complaint; complaint or; bullying;
        misinformation; severity; is grammatically; contains hate; acceptable or; unacceptable; threatening;
        contain hate; personal attack; sexist; racist; violent; self harm; not duplicate; are duplicates; insult;
        safe or unsafe; unsafe; unsafe content; policy violation; violates; fraud or; fraudulent; disrespectful;
        bullish; factual or; opinion or fact; fact or opinion; a fact or an; paraphrase of each other; duplicates;
        same meaning; the same thing; metaphorical or literal; is sarcastic; ironic or not; harmful; swear words;
        prompt injection; jailbreak; answerable; answerable or; contain the answer; contains the answer; bad language;
        is grammatical; grammatical or; grammatically correct or; ungrammatical; is well formed; checkable;
        helpful or; not helpful; useful or; literal or; person or a company; legitimate; genuine or; human or;
        is it a question; remove or keep; keep or remove; approve or reject; accept or reject; approve or deny;
        active or passive; active or in the passive; real or satire; real or fake; fake or real; urgent help;
        native speaker; paraphrases; paraphrase or not; are paraphrases; mean the same; the same product;
        the same person; the same event; the same entity; match or no match; how severe; how serious; how formal;
        moderation decision; allow or deny; allow deny; keep remove; remove keep; approve reject; accept reject;
        safe unsafe; spam ham; ham spam; toxic non toxic; relevant irrelevant; approve deny; clickbait or;
        factual or not; is it sarcastic; sarcastic or not; information needed to answer; enough information to answer;
        has the answer; can be answered from; answer is in
    """),
    cue("asked of a text", CLASSIFICATION, 4, """
        ^is {this} {text}; ^is the {who}; ^is this {who}; ^does {this} {text}; ^does the {who}; ^did the {who};
        ^does this {who}; ^did this {who}; ^was {this} {text}; ^was the {who}; ^was this {who}; ^has the {who};
        ^would the {who}; ^would this {who}; ^do the two {text}s; ^do these two {text}s; ^do these {text}s;
        ^do both {text}s; ^do the {text}s; ^do the following {text}s; ^are the two {text}s; ^are these two {text}s;
        ^are these {text}s; ^are the {text}s; ^are the following {text}s; whether {this} {text}; whether the {who};
        if {the} {doc} {is}; if the {who} is; whether a {text}; whether the two {text}s; if the two {text}s;
        whether the {text}s; whether these {text}s; ^could {the} {doc}; ^can {the} {doc}; ^are the two questions;
        ^are these questions; ^do the two questions; ^are the questions; ^do these questions; ^do these two questions;
        whether the two questions; if the two questions; ^are these two questions; ^do the questions;
        whether the questions; two questions are; text above contain; contract contain; clause contain;
        document contain; above contain; above mention; ^is this question; ^is the question;
        ^is the following question; ^does the question; ^does this question; ^should {the} {doc} be;
        ^should it be removed; is {the} {doc} about; do you think the {who}; do you think {the} {doc};
        do you think this {who}; would you say that the {who}; would you say {the} {doc};
        would you say that {the} {doc}; whether its {who}; if its {who}; whether {the} {doc} has
    """),
    cue("labelling role", CLASSIFICATION, 4, """
        spam filter; sentiment analyser; sentiment analyzer; intent classifier; intent detector; support triage;
        ticket triage; lead scoring; content filter; language detector; text classifier; emotion detector;
        ticket router; message router; mail router; topic tagger; moderation bot; moderation filter; inbox rules;
        triage |; classifier |; routing |
    """),
    cue("yes or no", CLASSIFICATION, 3, """
        yes or no; yes no; answer yes; answer only yes; only yes or no; reply yes or no; yes if; no otherwise; 1 or 0;
        0 or 1; 0 otherwise; true or false only; return true if; return false; yes otherwise; or no; respond yes;
        output yes; answer with yes; output 1; return 1; say yes; indicated as no; output either; or not; 'yes' if;
        'yes' or 'no'; 'no' otherwise; 'yes' otherwise; true if; false otherwise; true otherwise; yes else no; no if;
        reply true or false; answer with no; 'positive' or 'negative'; otherwise no; otherwise false; otherwise 0;
        answer yes or no; yes or no $; yes or no ? $; not ? $; otherwise output; otherwise answer; otherwise write;
        otherwise print; otherwise return; else output; otherwise say; otherwise label; with true or false;
        answer true or false; no or not; yes | no; no | yes; 'yes' 'no'; output true; output 'yes'; answer 'yes';
        print yes; yes and no; print 1
    """, names=False),
    cue("whether", CLASSIFICATION, 3, """
        ^determine whether; ^determine if; ^decide whether; ^decide if; ^identify whether; ^identify if;
        ^check whether; ^check if; ^tell whether; ^tell if; ^tell me whether; ^tell me if; ^say whether; ^say if;
        ^predict whether; ^indicate whether; ^indicate if; ^verify whether; ^judge whether; ^determining whether;
        ^deciding whether; ^assess whether; ^is the following; ^is this; ^does this; ^is it a; ^are these; ^do these;
        ^does the following; ^flag whether; ^mark whether; ^state whether
    """, names=False),
    cue("only the label", CLASSIFICATION, 3, """
        only the label; just the label; label only; category name only; only the category; just the category;
        single label; single category; only one label; only one category; only the class; one word answer;
        single word; one word; do not explain; no explanation; without explanation; don't explain;
        do not provide any explanation; no preamble; with the label; with a single; only with one; only one of;
        one of the labels; nothing else; best matching label; as the label; your verdict as; your verdict; verdict;
        your score in; rating; label of the category; no other text; and nothing else; respond with only;
        generate label; label only the; one label; return the label; output the label; output the category;
        return the category; return only the category; respond with the category; respond with one; reply with one;
        answer with one; answer with the; reply only with; output only one; respond only with; reply with exactly;
        reply with only; output exactly one; give only the; without any explanation; no other words; a single word;
        one of these words; name only; only the name; code only; only the code; label and nothing; queue name;
        the number only; only a number; only say; one letter; a letter; letter only; iso 639; single letter;
        in one word; ^answer with; ^reply with a single; ^answer only with; ^answer only yes; ^output one;
        ^output only; ^return one; ^return only; only the letter; only the number; bare; digit only; just the number;
        lines only; no prose; one token; exactly one token; one of these two words; only the level; ^answer as;
        one of two; explain nothing; with the name only
    """, names=False),
    cue("label's name", CLASSIFICATION, 5, """
        label $; category $; sentiment $; class $; topic $; intent $; language $; emotion $; genre $; label is $;
        stance $; classification $; category is $; sentiment is $; topic is $; tone $; polarity $;
        spam or intent is $; labels $; department $; the category $; type $; priority $; toxic $; predicted label $;
        language is $; categories $; output label $; predicted class $; rating $; score $; severity $; queue $;
        team $; domain $; mood $; opinion $; level $; kategorie $; categoría $; categoria $; catégorie $;
        sentimiento $; sentimento $; stimmung $; категория $; tema $; thema $; intention $; spam $; decision $;
        feeling $; risk level $; urgency $; tag $; this tweet is $; of this tweet is $; that fits is $; theme $;
        style $; rótulo $; etiqueta $; étiquette $; metka $; метка $; тональность $; sentiment ? $;
        negative or positive $; positive or negative $; which one $; register $; dialect $; answerable $; section $;
        subject $; kind $; stars $; field $
    """),
)  # fmt: skip
