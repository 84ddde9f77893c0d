"""What speaks against an easy task: reasoning, code, and the general rest. How to read it: cues.py."""

from __future__ import annotations

from typing import Final

from services.classifier.cues import CODE, GENERAL, REASONING, VETO, cue

HARD_TASKS: Final = (
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
        ^calculate; ^compute; ^solve; ^evaluate the expression; ^simplify the; ^integrate; ^differentiate; ^factor;
        and solve; then solve; and calculate; then calculate; and compute; then compute; ^count;
        ^extract the equation; ^extract the root; ^extract the real; ^extract the square; ^sort the numbers;
        ^sort these words; ^sort these numbers; ^classify the critical; ^classify the conic;
        ^classify the singularity; ^classify the equation; ^find x
    """),
    cue("compute", REASONING, 5, """
        equation; equations; probability; integral; derivative; polynomial; algebra; geometry; arithmetic; inequality;
        matrix; modulo; physics; formula; mathematical; mathematics; math problem; math; quadratic; calculate;
        compute; calculation; calculations; solve; evaluate the expression; simplify; sum of the; average of;
        square root; logarithm; prime numbers; prime number; factorial; theorem; trigonometry; how fast; velocity;
        ratio of; critical points; critical point; conic; real root; roots of; decimals; decimal places;
        newtons method; newton's method; iteration; eigenvalue; eigenvalues; vector; vectors; converge; converges;
        convergence; f x; f x y; the interval; parabola; ellipse; hyperbola; foci; differential equation;
        partial fractions; arithmetic mean; weighted; the area of; the volume of; the sum; singularities; extrema;
        x 2; x 3; y 2; y 3; percent of; per hour; twice as; times as; half of the; each of them; net present value;
        npv; interest rate; cost of capital; cash flow; break even; per year; per month; discount rate; tax rate;
        return on
    """),
    cue("how many", REASONING, 4, """
        how many; how much; how long; how far; how old; how often; how fast; in total; altogether; how tall;
        at this rate; count the; number of; the total number
    """),
    cue("inference", REASONING, VETO, """
        entail; entails; entailed; entailment; premise; premises; hypothesis; neutral or contradiction; follows from;
        follow from; contradicts; contradict; contradiction; must be true; could be true; can be inferred;
        can we infer; syllogism; counterfactual; logically follows; implies that; necessarily true; statement 1;
        statement 2; true or false or; both statements; supported or refuted; supports or refutes; refuted; refutes;
        not enough info; not enough information; cannot be determined; is it true that; is the statement;
        is the claim; is the argument; does it follow; must it be true; implies; is implied by; logically contradicts;
        guaranteed; supported refuted; is the conclusion; are the conclusions
    """),
    cue("logic", REASONING, 7, """
        valid or invalid; deductively; fallacy; fallacies; puzzle; riddle; riddles; logically; tells the truth;
        checkmate; chess; inferred; inference; deduce; deduction; counterexample; paradox; logic; logical;
        true or false; infer; causal; cause or effect; cause and effect; causation; more plausible; plausible;
        analogy; analogies; is to as; odd one out; next in the sequence; common sense; commonsense; more likely;
        most likely to; what happens next; implied; implies; ordering of events; temporal order; event duration;
        multi hop; hypothetically; what would happen; does not belong; doesn't belong; makes more sense; makes sense;
        most logical; logically continues; continues the; likely cause; likely effect; valid argument; is missing;
        fills the blank; fill in the blank; fills it; the blank; fill the blank; best completes; right ending;
        correct ending; pronoun; refer to ? $; contradicts itself; adjective order; correct order; alphabetically;
        in what order; the order of; the next; next number; which rule; possible interpretations; interpretations of;
        the differences; differences that; differences between; blocking whom; inference chain; contradiction between;
        what explains it; anachronism; anachronisms; implicature; make sense; consistent with; is it possible;
        possible that; answer mean yes; mean yes or no; literal meaning; figurative; metaphors mean;
        relationship between; how they are related; right order; correct moral; moral of; more ethical; less ethical;
        comes first; happens first; happens next; same event; increase or decrease; decrease or stay; more friction;
        hypernym; antonym; pattern behind; pattern in; strong or weak; real intention; what gives them away;
        is compatible; are compatible; reading order; weak or strong
    """),
    cue("choices", REASONING, 8, """
        | b |; | c |; choice |; option |; multiple choice; answer choices; correct option; correct answer;
        right answer; best answer; correct choice; correct letter; following choices; possible answers
    """, far=True),
    cue("explain", REASONING, 8, """
        ^explain why; ^explain how; ^explain your; ^explain each; ^explain in detail; ^explain the reason;
        ^explain what makes; with your reasoning; ^explain; ^explains; ^justify; justification; rationale; root cause;
        ^reason about; ^reason; explain your; your reasoning; and explain; with an explanation; give reasons;
        give your reasons; say why; and why; tell why; tell me why; why or why not; explain the reason; then explain;
        explain in detail; explain each; explaining why; state your reasons; with your reasons; with reasons;
        give grounds; and justify; arguing; explain what makes
    """),
    cue("why", REASONING, 4, """
        why; what causes; what caused; reason for; reasons for; how come; reasoning; explain why; explain how;
        explanation for; explaining; think about; interpret; interpretation; what explains; the reason
    """),
    cue("reasons asked", REASONING, 4, """
        reasoning; chain of thought; rationale; explanation; thought; thoughts; steps; plan; solution; analysis;
        hypothesis; conclusion; answer; answer |; recommendation; recommendations; strategy; argument; critique;
        next step
    """, form_only=True),
    cue("judge", REASONING, 8, """
        ^evaluate the; ^assess how; ^assess which; ^compare the two; ^compare them; ^compare and; ^analyze and;
        ^judge; ^judges; ^evaluate; ^evaluating; ^assess; ^assessing; ^critique; critically; ^compare; ^comparing;
        ^contrast; trade off; trade offs; tradeoff; tradeoffs; ^weigh; which is better; strengths and weaknesses;
        ^argue; then argue; and argue; ^analyse; ^analyze; ^analysing; ^analyzing; in depth; inconsistencies;
        contradictions; discrepancies; anomalies; impartial judge; quality of the response; better response;
        evaluate the; feedback on; ^review the; ^review my; peer review; analyze and; scale of 1 to 10; grade the;
        ^rank; and rank; ^score; factual consistency; claim by claim; supports it; grade from; overall grade;
        verify each; fact check; cross check; double check; find the flaw; stress test; sanity check; better answer;
        better summary; summary is better; answer is better; response is better; the better one; better translation;
        which answer; which response; strict grader; ^grade the; grade the student; quality of {the} summary;
        quality of {the} answer; quality of {the} translation; rate the quality; rate the response; rate the answer;
        rate the summary; answer address the question; not supported; supported by the source; faithful to;
        and assess; then assess; assess which; assess how; weaknesses of; what assumptions; underlying assumptions;
        between 0 and 10; from 0 to 10; from 1 to 10; out of 10; check each; how good is; compare the two;
        compare them; pros and cons of; weakest point; weakest link; strengths and doubts; strengths and;
        check that they; check whether they; and check that
    """),
    cue("judging", REASONING, 4, """
        implication; implications; consequences; insights; versus; pros and cons; quality of the; compare and;
        scale of 1 to 5; rubric; audit; faithfulness; hallucination; hallucinations; weaknesses; strengths; evaluate;
        evaluation; assess; assessment; judge; critique; criteria; compare; comparison; criterion
    """, names=False),
    cue("decide", REASONING, 6, """
        should i; should we; what should; ^recommend; ^recommends; ^advise; advice; best course; what would you;
        ^predict what; ^predict how; ^advise on; ^estimate how; optimal; ^optimise; ^optimize; optimization;
        ^prioritise; ^prioritize; strategy; strategic; ^forecast; ^predict; ^estimate; estimate how; what if;
        ^diagnose; ^troubleshoot; ^plan; action plan; recommendation; recommendations; next steps; best option;
        decide what; decide how; what to do; which of these should; should be done; mitigation; for and against;
        ranked; going through every; in turn; one by one; condition of the; every condition; eligibility; eligible;
        entitled; is allowed; comply; complies; compliant; compliance; meet the requirements; suitable for; best for;
        worth; feasible; ^check the; risky for; risks for; unfavourable; unfavorable; red flags; which are risky;
        is risky; acceptable to us; best suited; suitability; work out who; work out what; work out how;
        work out which; work out whether; figure out; what i should do; should do first; should have caught;
        who is right; is right ? $; enough to support; large enough; add up; adds up; deductible; at risk;
        most at risk; justified; is justified; cheapest; is covered; who benefits; a fairer; is faster; is cheaper;
        is safer; is better; which one is; invite the candidate; should invite; tell me how i; how i should;
        how should i; should i answer; answer first; handle first; order them; by urgency and; priority order;
        which quote; best quote; best offer; normal to; three most likely; could be going on; oblige us; which rule;
        who violated; violated the policy; story points; best placed; what each side; shows that; requires and;
        must do by; probable defect; corrective; in the order to; best candidate; suspicious points; calories;
        propose an
    """),
    cue("law", REASONING, 9, """
        liable; enforceable; legal advice; is it legal; legal risk; legal risks; legally; lawful; unlawful; enforce;
        a court would; court would; likely to enforce; in breach; contravene; contravenes; unfair terms;
        under english law; legal position; advise on; legal opinion; sue; breach of contract; negligently; lawyer;
        a lawyer; contract lawyer
    """),
    cue("law words", REASONING, 4, """
        liability; liabilities; lawsuit; precedent; statute; negligence
    """, names=False),
    cue("medicine", REASONING, 9, """
        differential diagnosis; prognosis; contraindicated; contraindication; contraindications; treatment plan;
        should the patient; is it safe to take; clinical judgement; clinical judgment; drug interaction;
        drug interactions; most likely diagnosis; likely diagnosis; what dosage; differential; candidate for;
        clinical picture; second opinion; second opinions; triage advice
    """),
    cue("medical words", REASONING, 4, """
        side effects; prognosis; dosage; diagnosis
    """, names=False),
    cue("find fault", REASONING, 9, """
        it fails; fails; the flaw; flaw in; flaws; the gap; its gap; a gap in; the mistake; mistakes in; is wrong;
        goes wrong; went wrong; what's wrong; the error in; weak points; holds up; hold up; is correct; is right;
        is valid; is sound; missing from the argument; contradicts itself; inconsistent; does it follow; the argument;
        this argument; check the
    """),
    cue("several steps", REASONING, 10, """
        ^then {hard}; ^then write; ^then draft; ^then propose; ^then answer; ^then reply; then {hard};
        and then {hard}; finally {hard}; afterwards {hard}; and propose; ^suggest how; ^propose; ^work out;
        ^figure out; then write; then draft; and draft; and write a reply; and reply; and respond to; then answer;
        then reply; then compose; then plan; then design; then translate; then rewrite; and rewrite; and translate;
        and say which are; and tell which are; and suggest improvements; and suggest how; and suggest a;
        and tell me why; and say why; and show how
    """),
    # Code.
    cue("language", CODE, 4, """
        python; javascript; typescript; java; kotlin; golang; rust; ruby; php; scala; perl; haskell; bash; mysql;
        postgres; postgresql; sqlite; c++; css; react; django; numpy; pandas; pytorch; kubernetes; dockerfile; regex;
        terraform; docker; swift; matlab; html; powershell; node; flask; excel formula; verilog; lua; dart; ansible;
        html5; css3; elasticsearch; zapier; graphql; mongodb; redis
    """),
    cue("programming", CODE, 7, """
        sql query; sql; ^write a function; a function that; the function; unit test; unit tests; function to;
        test cases; stack trace; traceback; source code; codebase; pull request; repository; ^refactor; refactoring;
        compiler; compile; compiles; algorithm; time complexity; data structure; recursion; recursive; api endpoint;
        program executes; this program; this code; the code; following code; code snippet; your code; some code;
        write code; python function; python code; python script; bash script; shell script; ^write a program;
        ^write a script; pseudocode; microservice; schema migration; programmer; ^implement; implement a;
        commit message; code review; html file; radio buttons; web page; webpage; web app; cli; command line;
        shell command; one liner; script that; code editor; off by one; public signatures; class that; parser for;
        regex for; regular expression; spreadsheet; formula; excel; cron; yaml for; config for; port this;
        convert this code; rewrite this in; in python; in rust; in go; in java; in typescript; in c++; tests for;
        test for; docker compose; sql for; query for; schema for; migration; scikit; scikit learn; train a;
        complete code; full code; code with; the code for; code that; give me the code; pytest; csv file; pdf; sed;
        awk; grep; git; library that; plugin; endpoint that; decorator; lambda; compile error
    """),
    cue("learning", CODE, 4, """
        tf idf; logistic regression; n grams; neural network; word2vec; embeddings; hugging face; huggingface; spacy;
        nltk; bert; fine tune; fine tuning; keras; tensorflow; scikit; scikit learn; sklearn; cross validation;
        macro f1; random forest; cnn; lstm; transformer model; train a model; train a classifier; confusion matrix
    """, names=False),
    cue("program parts", CODE, 2, """
        database; api; button; buttons; component; command; library; helper; interface; endpoint; backend; frontend;
        app that; tool that; query; program; loop; variable; variables; handler; handlers; shell; script; function;
        snippet; repository; functions; classes; methods
    """),
    cue("implement", CODE, 12, """
        ^implement; implement a; implement the; write code; ^write a function; ^write a program; ^write a script;
        python function; method that; script that; a function that; from scratch; ^implement a; ^implement the;
        ^implement this; commit message; this diff; git diff; sql query; shell command; unit test; unit tests; regex;
        regexp; jq; pcre; a regular expression; xpath; css selector; vba; macro that; bash one liner; awk; sed;
        shell one liner; ^{make} a {program}; ^{make} me a {program}; ^{make} a python {program}; ^build a {program};
        ^build me a {program}; a {program} to; a {program} that; a {program} which
    """),
    cue("mend", CODE, VETO, """
        ^debug; debugging; fix the bug; fix this bug; a bug in; the bug; fix the code; fix this code; failing test;
        segfault; memory leak; race condition; deadlock; null pointer; error message when; exception in; bug in
    """),
    cue("code itself", CODE, 9, """
        def; elif; printf; println; console log; public static; import os; import sys; return none; public class;
        private static; using namespace; package main; int main; inner join; class solution; using namespace std;
        from typing; typing import; import pandas; import numpy; import re; import java; std vector; select | from
    """),
    cue("data types", CODE, 5, """
        in string; string s; given string; input string; substring; between parentheses; an array; the array;
        array of; list of integers; list of strings; integers; integer; dataframe; hashmap; linked list; binary tree;
        docstring
    """),
    cue("code words", CODE, 4, """
        struct; const; async; await; foreach; sizeof; endif; func; exception; nullpointerexception; stderr; exit code;
        segmentation fault; error |
    """),
    # General: something new is to be made, a question is to be answered, or somebody talks.
    cue("write", GENERAL, 4, """
        ^write; ^compose; ^draft; ^brainstorm; ^come up with; ^invent; ^create; ^creating; ^generate; ^build;
        ^make up; ^suggest; ^continue; ^expand; ^improve; ^produce; ^craft; ^elaborate; ^complete; ^finish; ^rewrite;
        ^edit; ^revise; ^reply to; ^respond to; ^chat; ^imagine; ^describe; ^make; ^give an example;
        ^give me an example; ^give examples; ^develop; ^devise; ^formulate; ^ask; ^turn these; ^turn this; ^turn the;
        ^flesh out; full report; two page; ^think of; ^give me a; ^give me some; ^give me three; ^propose a; ^name a;
        deliverable; ^help; ^change; ^modify; ^replace; ^insert; ^add; ^remove; ^combine; ^merge; ^construct;
        ^verbalise; ^verbalize; ^fix; ^give me five; ^give me ten; ^give five; ^give ten; ^give three; ^plan;
        ^recommend a; ^offer
    """),
    cue("make a text", GENERAL, 8, """
        ^{make} a sentence; ^{make} sentences; ^{make} a story; ^{make} an article; ^{make} a review; ^{make} a tweet;
        ^{make} a paragraph; ^{make} a comment; ^{make} a message; ^{make} an email; ^{make} a reply;
        ^{make} a response; ^{make} a dialogue; ^{make} a conversation; ^{make} a post; ^{make} a text;
        ^{make} a news story; ^{make} a letter; ^{make} a fictional; ^{make} a new; ^{make} another;
        ^{make} an example; ^{make} examples; ^{make} an alternative; ^{make} a positive; ^{make} a negative;
        ^{make} a version; ^{make} a realistic; ^{make} a fake; ^{make} five; ^{make} ten; ^{make} three;
        ^{make} a user; ^{make} an utterance; ^{make} utterances; ^{make} a description; free version;
        sentence with the words; in fluent english; fluent text; coherent text; grammatically correct text;
        natural language text; natural sounding; the following data; following attributes; opposite sentiment;
        opposite meaning; so that its; from these highlights; what the user would say; next thing;
        what the speaker would; respond kindly; reply kindly; data that fits; a sentence which; write a sentence
    """),
    cue("constraints", GENERAL, 6, """
        ^include keywords; include the keywords; must contain; should contain; at least 3 times; contain the word;
        your entire response; your response should; in your response; in the response; the word appears;
        paragraphs separated; placeholders; all lowercase; capital letters; do not use any commas;
        without using the word; without saying the word; should be exactly; section 1; at least 100; at least 150;
        at least 200; at least 250; at least 300; at least 400; at least 500; at least 600; at least 10 sentences;
        at least 15 sentences; at least 20 sentences; at least 25 sentences; at least 30 sentences;
        at least 12 sentences; markdown divider; wrap your; wrap the entire; postscript; ^fill in the gaps;
        ^fill the gaps; ^fill in the blanks; ^fill in the blank; fill in the gaps; ^fill in the missing;
        ^complete the sentence; ^complete the story; ^complete the conversation; ^complete the dialogue
    """),
    cue("make longer", GENERAL, 9, """
        ^expand these; ^expand this; ^expand the; ^flesh out; full report; two page; into a full; ^elaborate on;
        a longer; make it longer; more detailed version; full length; into an article; into a story; into an essay;
        into a report; into prose; into an email
    """),
    cue("reword", GENERAL, 6, """
        ^rephrase; ^paraphrase; ^translate; translation; translations; translated; translate; ^rewrite; paraphrase;
        ^correct; ^proofread; proofread; grammar; simplify this; ^simplify; rewrite; rewriting; rephrase; reworded;
        formal tone; polish this; ^convert to; edit the; style transfer; post edit; ^fix the; ^correct the; corrected;
        corrected sentence; corrected text; make it more; ^make the sentence; ^verbalise; ^verbalize; in simple words;
        in simpler; grammatical errors; grammar errors; spelling errors; spelling mistakes; ^detoxify; ^neutralise;
        ^rewrite it; stop words; lower case; ^localise; ^localize; into german; into english; into spanish;
        into french; into italian; into japanese; into chinese; into russian; into portuguese; into korean;
        into arabic; into hindi; to french; to german; to spanish; to english; in other words; uses other words;
        using other words; its plural; the plural
    """),
    cue("art", GENERAL, 4, """
        short story; story about; storytelling; poem; song; lyrics; essay; blog; novel; a joke; limerick; haiku;
        a speech; slogan; tagline; screenplay; cover letter; press release; tweet about; an email to; storyline;
        movie plot; fiction; rap; script for; advertisement; product description for; blog post; marketing copy;
        ad copy; creative writing; example of a; examples of; sample; a random; random; persuasive; newsletter
    """),
    cue("role", GENERAL, 6, """
        ^pretend; ^imagine; roleplay; role play; ^act as; you are playing; in the style of; persona; as if you were;
        stay in character; game master; be the interviewer; as an interviewer; you are a chatbot;
        conversation partner; personal assistant; you are a tutor; next utterance; next turn; it is your turn
    """),
    cue("answer it", GENERAL, 6, """
        answer the question; answer this question; answer the following; answer my question; answer the questions;
        answer the user's question; question answering; answer to the question; answer to this; find an answer;
        find the answer; ^find the answer; ^extract the answer; ^extract an answer; ^give the answer;
        answer questions; answer users; answer user; answer the query; answer it; respond to the question;
        unanswerable; ask me; if you don't know; i don't know; based on the context; using the article;
        can you find it; an answer; answers to; answering questions; from the documents; q a;
        read the text and answer; and answer; answer from; answers the question; answer of the; answers it;
        that answers; span that answers; answer span; answering the question; stand for ? $; keys answer; key answer;
        answer and confidence; answer and sources; with answer and; what is the capital
    """),
    cue("question", GENERAL, 1, """
        following question; given question; this question; a question; questions; question; user question; the answer;
        answering; based on the article; based on the passage; answer to the
    """),
    cue("ask", GENERAL, 12, """
        ^{make} a question; ^{make} questions; ^{make} the question; ^{make} one question; ^{make} some questions;
        ^{make} three questions; ^{make} five questions; question generation; ^construct a question; ^ask a question;
        ^pose a question; ^formulate a question; write a question; ask a question; generate a question;
        ^{make} two questions; multiple choice questions; question whose; question that can; question for which;
        question to which; question about {the} {doc}; questions about {the} {doc}; questions based on; could one ask;
        quiz questions; ^{make} ten questions; exam questions; comprehension questions; standalone question;
        ^rephrase the follow; ^{make} several questions; ^{make} a query; quiz about; discussion questions;
        interview questions; follow up questions; review questions; test questions; trivia questions; questions for a;
        question answer pairs; question and answer pairs; flashcards; ^{make} a quiz; quiz for
    """),
    cue("question's mark", GENERAL, 3, """
        answer |; | q |; | a |; answer $; a $; | question |; | context |
    """),
    cue("ends by asking", GENERAL, 1, """
        ? $
    """),
    cue("asks politely", GENERAL, -2, """
        can you; could you; would you please; will you
    """),
    cue("for readers", GENERAL, 8, """
        linkedin post; instagram post; facebook post; social media post; social posts; social media; a blog post;
        meta description; meta descriptions; product descriptions; landing page; sales copy; polished;
        template answer; candidate names; the reply the; draft the reply; draft a reply; the draft; job ad from;
        a toast; email to the whole; page title; more exciting; my talk; my presentation; my speech; my essay;
        guessing game; out of office; thank you note; and a description; how i should respond; how to respond;
        say next; headline about; headline on; title about; different summaries; two summaries; two different; pun
    """),
    cue("what is asked", GENERAL, 4, """
        when the user; whenever the user; if the user asks; whatever the user; user names; the user wants; then help;
        help them; in a friendly way; help the user; help users; friendly way; one question at a time; collect the;
        coach; tutor; concierge
    """, names=False),
    cue("summary at hand", GENERAL, 5, """
        this summary; this summary of; my summary; my summary of; from the summary; the summary above;
        from this summary; based on the summary; summary below; cv summary; the cv summary; summary of what you;
        summary of today's; i have this summary
    """),
    cue("from less", GENERAL, 10, """
        given a title; given the title; given a summary; given the summary; given a headline; given the headline;
        given a label; given the label; given a category; given a tag; given the highlights; given a keyword;
        given keywords; given key points; given the answer; given an answer; given a topic; given a list of keywords;
        given a set of; given slots; from these notes; from these keywords; article from; story from;
        from the outline; {the} document that; the article these; based on these points; for my cv; for my profile;
        my work experience; for my thesis; for my novel; for my startup; for my shop; for my website; for my video;
        for my channel; for my company; for my band; for my book; for a startup; for an ad; for my blog;
        for my resume; my own
    """),
    cue("wrapper", GENERAL, 0, """
        its answer |; ^extract of; extract of; complete the following example; complete the following examples;
        ^complete the following example; ^complete the following examples
    """, names=False),
    cue("made up", GENERAL, 16, """
        synthetic; realistic; fictional; fictitious; made up; imaginary; training data; training examples; test data;
        dummy data; sample data; synthetic data; mock data; what you know; your own knowledge; from memory;
        you remember; few shot examples; a fake; fake
    """),
    cue("design", GENERAL, VETO, """
        ^design; design a; design an; design the; design system; ^architect; ^negotiate; ^{make} a {plan};
        ^{make} me a {plan}; ^{make} an itinerary; ^{make} a research paper; ^{make} an agenda; ^{make} an outline for
    """),
    cue("plans", GENERAL, 5, """
        architecture; roadmap; curriculum; business plan; a proposal; negotiation; lesson plan; workout plan;
        meal plan; itinerary; training plan; meal planning
    """),
    cue("converse", GENERAL, 4, """
        ^tell me; how do i; how can i; how to; how should; what are the best; what is the best; help me; i want to;
        i need to; can you help; what do you think; how does; what are some; what is a; what is an; who is; who was;
        where is; when did; how would; what would; what does; do you know; ^teach; ^hi; i feel; mean ? $; mean by;
        difference between; the meaning of; means ? $; would be; is it ok; is there a; are there any; have you;
        how long may; may i; do i; can i; should i; fix ? $; thank you note; otherwise help; stand for; i make it at;
        show me how; how you would
    """),
)  # fmt: skip
