"""Cues beyond English: the common words of instructions in the larger languages. What they weigh is as in cues.py.

Scripts whose words are not parted by spaces are matched within a run of letters, so their phrases are chosen not to
stand inside other common words. Cyrillic, Arabic and Devanagari words are parted by spaces and matched whole.
"""

from __future__ import annotations

from typing import Final

from services.classifier.cues import CLASSIFICATION, CODE, EXTRACTION, GENERAL, REASONING, SUMMARISATION, VETO, cue

OTHER_LANGUAGES: Final = (
    cue("extract (other)", EXTRACTION, 8, """
        extrahiere; extrahieren; ^entnimm; ^entnehmen sie; ^nenne alle; ^liste alle; ^suche alle; ^finde alle; ^trage;
        ^übernimm; ^extrais; ^extraire; ^extrayez; ^relève; ^relevez; ^repère; ^repérez; ^liste les; ^listez;
        ^recopie; ^recopiez; ^remplis; ^remplissez; ^extrae; ^extraer; ^extraiga; ^extraé; ^enumera; ^lista los;
        ^lista las; ^copia las; ^copia los; ^copia el; ^saca; ^rellena; ^identifica los; ^identifica las; ^extraia;
        ^extrair; ^extrai; ^liste os; ^liste as; ^copie as; ^copie os; ^preencha; ^identifique os; ^identifique as;
        ^retire; ^estrai; ^estrarre; ^estraete; ^estragga; ^elenca; ^compila; ^copia le; ^riporta; ^haal; extraheer;
        ^noem alle; ^neem; ^vul; ^som alle; ^geef alle; wyodrębnij; ^wyciągnij; wypisz; ^wymień; ^wypełnij;
        ^znajdź wszystkie; извлеки; извлеките; извлечь; выпиши; выпишите; ^найди все; ^найдите все; ^перечисли;
        ^заполни; çıkar; çıkarın; çıkart; ayıkla; ayıklayın; listele; listeleyin; استخرج; استخرجي; استخراج; اذكر جميع;
        निकालें; निकालिए; निकालो; निकालकर; सूची बनाएं; 提取; 抽取; 抽出; 取り出; 書き出; 추출; 뽑아; 填写; 抜き出;
        リストアップ; 찾아; ^preencha a ficha; preencha a ficha; rellena la ficha; fülle das formular;
        remplis la fiche; compila la scheda; ^leia a descrição; ^lies den; ^lies die; ^lies das; ^lies aus
    """),
    cue("entities (other)", EXTRACTION, 3, """
        benannte entitäten; entitäten; entités nommées; entités; entidades; entità; entiteiten; encje; сущности;
        alle namen; alle daten; alle beträge; alle personen; alle orte; todas las personas; todos los lugares;
        todas las; todos los; que aparecen; aparecen en el texto; en el texto; toutes les personnes; tous les lieux;
        toutes les; tous les; dans le texte; tutte le persone; tutti i luoghi; nel testo; todas as pessoas; todos os;
        todas as; no texto; все имена; все даты; все имена собственные; в тексте; im text; in de tekst; w tekście;
        metindeki; 人名; 地名; 机构名; 組織名; 组织名; 日期; 時間; 인명; 지명; 기관명; 이름; 날짜; 장소; 전화번호;
        金額; 金额; 电话; tous les noms; toutes les dates; todos los nombres; todas las fechas; todos os nomes;
        tutti i nomi; tutte le date; alle data; als json; en json; im json format; em json; in json; au format json;
        en formato json; em formato json; in formato json; w formacie json; jako json; как json; в json;
        в формате json; json formatında; json olarak; json 形式; json 格式; json 형식; json으로; json で; بصيغة json;
        json में; جميع الأسماء; 实体; 固有表現; 개체명; 关键词; キーワード; 키워드; schlüsselwörter; stichwörter;
        mots clés; palabras clave; palavras chave; parole chiave; słowa kluczowe; ключевые слова; trefwoorden;
        anahtar kelimeler; aus dem text; aus folgendem; aus der; aus dem folgenden; du texte; del texto; do texto;
        dal testo; из текста; z tekstu; uit de tekst; metinden; wörtlich; palavras exatas; mot pour mot;
        textuellement; literalmente
    """, names=False),
    cue("sum up (other)", SUMMARISATION, 9, """
        ^fasse; ^fassen sie; fasse zusammen; zusammenfassen; fasst zusammen; ^verdichte; ^kürze; ^kürzen sie; ^résume;
        ^résumez; ^résumer; ^condense; ^condensez; ^resumir; ^resuma; ^resumen; ^condensa; ^sintetiza; ^riassumi;
        ^sintetizza; ^riassumete; ^condensi; ^sintetize; ^condense o; vat de; vat dit; vat deze; samenvatten; ^streść;
        streść; streszczaj; streść w; ^podsumuj; podsumuj; ^skróć; резюмируй; кратко изложи; изложи кратко;
        кратко перескажи; перескажи; сократи; сожми; кратко опиши; özetle; özetleyin; özetini; özetler; kısalt; لخص;
        لخّص; اختصر; संक्षेप; सारांश लिखें; सारांश दें; सारांश बनाएं; संक्षिप्त; 总结; 概括; 总结一下; 要約し;
        要約して; まとめて; 요약해; 요약하; 總結; 概述; 縮短; 缩写成; 归纳; 簡潔に; ^resume el; ^resume la;
        ^resume los; ^resume las; ^resume este; ^resume esta; ^resume en; ^resume o; ^resume lo; ^resume brevemente;
        ^resume estos; ^vat dit; ^vat deze; ^vat het; ^vat samen; ^vat de
    """),
    cue("summary (other)", SUMMARISATION, 5, """
        zusammenfassung; kurzfassung; kurzfassungen; zusammenfassungen; un résumé; résumé de; résumés; en une phrase;
        en deux phrases; un resumen; resumen de; resúmenes; en una frase; en dos frases; um resumo; resumo de;
        resumos; em uma frase; em duas frases; riassunto; riassunti; in una frase; in due frasi; samenvatting;
        samenvattingen; in één zin; in twee zinnen; streszczenie; podsumowanie; w jednym zdaniu; w dwóch zdaniach;
        краткое содержание; краткое изложение; сделай краткое; в одном предложении; в двух предложениях; özet; özeti;
        tek cümlede; iki cümlede; bir cümle; تلخيص; ملخص; ملخصا; في جملة واحدة; सारांश; सार; एक वाक्य में;
        दो वाक्यों में; 摘要; 要約; 要点; 요약; 一句话; 两句话; 一文で; 二文で; 한 문장; 두 문장; 세 문장; 三句话;
        概要; lo esencial; o essencial; l'essentiel; das wesentliche; l'essenziale; de kern; суть; najważniejsze;
        in kürze; en resumen; en bref; em resumo; in breve; auf höchstens; in einem satz; in zwei sätzen;
        in drei sätzen; en trois phrases; en tres frases; in tre frasi; synthèses; synthèse; compte rendu; résumé des;
        resumen ejecutivo; protokoll; kurzprotokoll; notulen; sintesi
    """),
    cue("about (other)", SUMMARISATION, 6, """
        ^worum geht es; ^wovon handelt; worum es; den inhalt in; inhalt in höchstens; ^de quoi parle; ^de quoi traite;
        de quoi il s'agit; ^de qué trata; ^de qué habla; de qué se trata; ^di cosa parla; ^di che cosa parla;
        ^do que trata; ^do que fala; ^de que trata; ^waar gaat; ^o czym jest; ^o czym mówi; ^о чем; ^о чём;
        ne hakkında; neyle ilgili; neden bahsediyor; 讲了什么; 说了什么; 主要内容; 大意; 主旨; 中心思想; 内容を一文;
        内容を簡潔; 何について書; 趣旨; 무엇에 대한; 내용을 한; 내용을 두; 핵심 내용; عن ماذا يتحدث; عمّ يتحدث;
        الفكرة الرئيسية; किस बारे में; मुख्य बात
    """),
    cue("headline (other)", SUMMARISATION, 10, """
        überschrift zu; überschrift für; eine überschrift; titel für diesen; titel für den; schlagzeile für;
        schlagzeile zu; un titre à cet; un titre à ce; un titre pour cet; un titre pour ce; titre de cet article;
        un titular; titular para; título para esta; título para este; un título a esta; un titolo per questa;
        un titolo per questo; titolo per questa; título para esta notícia; manchete para; titel voor dit;
        titel voor deze; kop voor; tytuł dla; tytuł do; nagłówek; заголовок к; заголовок для; için başlık; başlık yaz;
        bir başlık; 起一个标题; 拟一个标题; 起个标题; 写一个标题; 生成标题; 拟定标题; 見出しを; タイトルをつけ;
        タイトルを付け; 제목을 지어; 제목을 붙여; 제목을 만들; عنوانا لهذا; عنوانًا لهذا; عنوان مناسب; शीर्षक दें;
        शीर्षक लिखें; शीर्षक दीजिए
    """),
    cue("classify (other)", CLASSIFICATION, 8, """
        klassifiziere; klassifizieren; ^ordne; ordne den; ordne die; ordne das; ordnen sie; kategorisiere; ^stufe;
        einstufen; einzuordnen; ^classe; ^classez; ^classer; ^classifie; ^classifiez; ^catégorise; ^catégorisez;
        ^attribue; ^étiquette; ^clasifica; ^clasificar; ^clasifique; ^categoriza; ^categorice; ^etiqueta; ^asigna;
        ^classifique; ^classificar; categorize; ^atribua; ^classifica; ^classificare; ^assegna; ^etichetta;
        classificeer; categoriseer; ^deel; ^wijs; ^sklasyfikuj; sklasyfikuj; klasyfikuj; zaklasyfikuj; przypisz;
        ^oznacz; классифицируй; классифицируйте; определи категорию; определи тональность; определите тональность;
        определи тему; определите тему; определите категорию; варианты; отнеси; отнесите; категоризируй; sınıflandır;
        sınıflandırın; kategorize et; صنف; صنّف; صنفي; تصنيف; حدد فئة; حدد ما إذا; वर्गीकृत; वर्गीकरण; 分类; 分類;
        归类; 歸類; 属于哪; 분류
    """),
    cue("labels (other)", CLASSIFICATION, 5, """
        stimmung; positiv oder negativ; positiv negativ; toxisch; kategorie; kategorien; welche sprache;
        welcher kategorie; ist das spam; spam oder; ja oder nein; nur mit ja; nur ja; sentiment de; le sentiment;
        positif ou négatif; positif négatif; catégorie; catégories; quelle langue; quelle catégorie; quel sentiment;
        oui ou non; toxique; sentimiento; positivo o negativo; positivo negativo; categoría; categorías; qué idioma;
        en qué idioma; qué categoría; sí o no; tóxico; sentimento; positivo ou negativo; categoria; categorias;
        sim ou não; categorie; categorieën; welke categorie; ja of nee; wat voor document; kategorii; kategoria;
        kategorię; pozytywna; sentyment; tak lub nie; czy; категория; категории; категорию; тональность; да или нет;
        положительный; отрицательный; позитивный; спам; sì o no; positiva o negativa; positiva negativa o neutra;
        positivo negativo o neutro; positiva negativa ou neutra; positivo negativo ou neutro;
        positif négatif ou neutre; positive négative ou neutre; la opinión; a opinião; l'avis; ist positiv;
        ist negativ; duygu; olumlu; olumsuz; kategori; kategorisi; evet veya hayır; مشاعر; إيجابي; سلبي; فئة;
        نعم أو لا; भावना; सकारात्मक; नकारात्मक; श्रेणी; हाँ या नहीं; 情感; 正面; 负面; 情绪; 積極; 感情; ポジティブ;
        ネガティブ; 감정; 긍정; 부정; 意图; 意図; 의도; スパム; 스팸; 垃圾; カテゴリ; 类别; 類別; 是或否; 标签;
        ラベル; 라벨; 긴급도; 어느; welchem ressort; welche rubrik; welchem thema; zu welcher; quelle rubrique;
        à quelle rubrique; la rubrique; sección del; qué sección; quale categoria; a quale categoria;
        qual é a categoria; qual categoria; qual a categoria; positiva ou negativa; positief of negatief;
        negatief of positief; pozytywna czy negatywna; pozytywny czy negatywny; положительный или; положительная или;
        olumlu mu; 好评; 差评; 正面的还是; 是正面; 肯定的; 否定的; ジャンル; 긍정적; 부정적; إيجابي أم; सकारात्मक है;
        ist es spam; spam ist; es spam; è spam; é spam; est un spam; является ли; являются ли; да | или нет; парафраз;
        はい | か | いいえ; welche absicht; eine beleidigung; es ofensivo; est il positif; est elle positive;
        qué intención; quelle intention; какой категории; к какой категории; 主题; 话题; 类型; 种类; 哪一类; 哪类;
        どの種類; 種類; 분류; 카테고리; 유형; 주제
    """),
    cue("one of (other)", CLASSIFICATION, 4, """
        判断; 判斷; 判定; 属于; 分到; 중 하나로; 중 하나를; いずれか; のどれ; どちらか; eines der;
        einer der folgenden; l'une des; une des catégories; una de las; una de estas; uma das; una delle; een van de;
        jedną z; одну из; birini
    """),
    cue("named (other)", EXTRACTION, 3, """
        genannt; werden genannt; erwähnt; erwähnten; genannten; vorkommen; vorkommenden; citées dans; cités dans;
        sont cités; sont citées; mentionnées; mentionnés; mentionnés dans; se mencionan; mencionados; mencionadas;
        se citan; aparecen en; citate nel; citati nel; sono citate; sono citati; menzionate; menzionati; citadas no;
        citados no; são citadas; são citados; mencionadas no; mencionados no; genoemd; wymienione; wymienieni;
        упоминаются; упомянуты; упомянутых; упоминающиеся; geçiyor; geçen; bahsedilen; 提到的; 中提到; 出现的;
        登場する; 出てくる; 記載の; 列挙; 나오는; 언급된; 나열; المذكورة; المذكورين; الواردة; उल्लिखित; आए सभी; में आए
    """),
    cue("list (other)", EXTRACTION, 3, """
        找出; 列出; 摘录; ^indica; ^señala; ^encuentra; ^busca; ^identifica; ^detecta; ^subraya; ^marca; ^identifiez;
        ^identifie; ^trouve; ^trouvez; ^indique; ^indiquez; ^souligne; ^identifiziere; ^identifizieren sie; ^finde;
        ^finden sie; ^markiere; ^nenne; ^nennen sie; ^gib; ^geben sie; ^encontre; ^identifique; ^localize; ^trova;
        ^trovate; ^individua; ^vind; ^zoek; ^geef; ^znajdź; ^wskaż; ^найди; ^найдите; ^назови; ^укажи; ^укажите;
        ^перечисли; bul; bulun; 見つけ; 挙げ; 찾아; 골라; ^podaj; ^preencha; ^rellena; ^remplis; ^fülle; ^compila;
        ^devuelve; ^donne le; ^donne la; ^donne les; ^renvoie; ^restituisci; ^retorne; ^devolva; ^zwróć; ^верни;
        ^верните; 返して; 返回; 반환; ^اذكر; ^حدد; نام लिखिए; के नाम
    """),
    cue("only it (other)", CLASSIFICATION, 3, """
        nur mit dem label; nur das label; nur mit der kategorie; nur die kategorie; ein wort; nur ein wort;
        nur den namen; solo la categoría; seulement la catégorie; uniquement la catégorie; un seul mot;
        una sola palabra; apenas a categoria; uma palavra; una sola parola; una parola; één woord; alleen de;
        jedno słowo; tylko; одним словом; только; tek kelime; sadece; كلمة واحدة; فقط; केवल; 只回答; 只输出; 一个词;
        仅; のみ; だけ; 하나만; 한 단어; 만 답; responde solo; réponds uniquement; répondez uniquement; antworte nur;
        antworten sie nur; rispondi solo; responda apenas; antwoord alleen; 是否
    """, names=False),
    cue("fault (other)", REASONING, 7, """
        falsch ist; fehler im; den fehler; der fehler; beweis; lücke; est faux; l'erreur; la faille; preuve; está mal;
        el error; el fallo; demostración; está errado; o erro; prova; l'errore; è sbagliato; dimostrazione; de fout;
        bewijs; błąd; dowód; ошибка; ошибку; доказательство; hata; kanıt; 错误; 漏洞; 誤り; 間違い; 오류; 틀린; خطأ;
        गलती
    """),
    cue("prove (other)", REASONING, 10, """
        ^erkläre; ^erklären sie; erkläre warum; begründe; begründung; beweise; ^berechne; berechne; ^vergleiche;
        vergleiche; ^empfiehl; schritt für schritt; ^löse; leite her; schlage vor; ^explique; ^expliquez;
        explique pourquoi; justifie; justifiez; démontre; démontrez; calculez; ^calcule; ^comparez; recommande;
        étape par étape; résous; résoudre; ^prouve; ^explica; explica por; justifica; demuestra; ^calcula; ^compara;
        ^recomienda; paso a paso; resuelve; ^analise; ^recomende; passo a passo; ^resolva; ^prove; ^spiega; dimostra;
        ^calcola; ^confronta; consiglia; ^risolvi; passo dopo passo; ^leg uit; ^bereken; ^vergelijk; stap voor stap;
        ^los op; ^wyjaśnij; uzasadnij; udowodnij; ^oblicz; ^porównaj; krok po kroku; ^объясни; ^объясните; обоснуй;
        докажи; докажите; ^вычисли; ^рассчитай; ^сравни; ^сравните; ^реши; шаг за шагом; açıkla; kanıtla; hesapla;
        karşılaştır; adım adım; اشرح; احسب; قارن; أثبت; خطوة بخطوة; समझाएं; समझाइए; गणना; तुलना; सिद्ध; हल करें; 解释;
        證明; 证明; 计算; 比较; 求解; 一步一步; 推理; 解釋; 説明して; 計算して; 証明; 比較して; 推論; 설명해; 설명하;
        계산; 증명; 비교해; 비교하; 추론; ^compare les; ^compare le; ^compare la; ^compare ces; ^compare deux
    """),
    cue("think (other)", REASONING, 5, """
        warum; weshalb; bewerte; beurteile; analysiere; empfehlung; wie viele; wie viel; welche wäre; sollte ich;
        sollten wir; pourquoi; évalue; analyse; analysez; combien; proposez; devrais je; por qué; evalúa; analiza;
        cuánto; cuántos; cuántas; cuánta; debería; por que; porquê; avalie; quanto; quantos; quantas; perché; valuta;
        analizza; quanti; quante; waarom; beoordeel; analyseer; hoeveel; dlaczego; oceń; przeanalizuj; ile; почему;
        оцени; проанализируй; сколько; neden; değerlendir; analiz et; kaç; çöz; لماذا; حلل; كم; क्यों; कितने; कितना;
        कितनी; 为什么; 评估; 分析; 多少; 說明; 说明; 几个; なぜ; 説明; 評価; いくつ; いくら; 何個; 理由; 왜; 설명;
        평가; 분석; 몇; 얼마; 이유; 建议; 怎么; 如何; どう; 어떻게
    """),
    cue("make (other)", GENERAL, 6, """
        fasse dich kurz; ^fasse dich kurz; ^schreibe; ^schreib; ^schreiben sie; verfasse; erfinde; ^übersetze;
        übersetze; übersetzen; gedicht; geschichte; ^erstelle; entwirf; ^formuliere; beantworte; ^korrigiere;
        ^verbessere; ^écris; ^écrivez; ^rédige; ^rédigez; ^invente; traduis; traduire; traduisez; poème; ^crée;
        ^réponds à; ^répondez à; ^corrige; ^reformule; ^escribe; ^redacta; ^inventa; traduce; traducir; poema; cuento;
        ^crea; ^responde a; ^reformula; ^escreva; ^redija; traduza; traduzir; conto; ^crie; ^responda a; ^responda à;
        ^corrija; ^reescreva; ^scrivi; ^redigi; traduci; poesia; racconto; ^rispondi alla; ^rispondi a; ^correggi;
        ^riscrivi; ^schrijf; vertaal; verhaal; beantwoord; ^napisz; przetłumacz; wiersz; ^odpowiedz na; ^napisz mi;
        ^напиши; ^напишите; переведи; переведите; придумай; сочини; стихотворение; рассказ; ^ответь на; ^ответьте на;
        исправь; перефразируй; ^yaz; yazın; çevir; çevirin; şiir; hikaye; düzelt; اكتب; ترجم; قصيدة; قصة; أجب عن;
        लिखें; लिखो; लिखिए; अनुवाद; कविता; कहानी; 写一; 写出; 写个; 翻译; 翻譯; 改写; 作文; 诗; 故事; 创作; 帮我写;
        書いてください; 翻訳; 訳して; 物語; 作って; 作成して; 考えて; 써줘; 작성해; 번역; 시를; 이야기; 答问题; 质问;
        回答问题; 回答以下; 質問に; 질문에
    """),
    cue("asks (other)", GENERAL, 3, """
        ^wie; ^warum; ^wer; ^wo; ^wann; ^kannst du; ^können sie; ^pourquoi; ^qui; ^où; ^quand; ^cómo; ^quién; ^dónde;
        ^cuándo; ^como; ^quem; ^onde; ^quando; ^chi; ^dove; ^hoe; ^waarom; ^wie is; ^jak; ^kto; ^gdzie; ^kiedy; ^как;
        ^кто; ^где; ^когда; ^nasıl; ^nerede; ^كيف; ^من هو; ^أين; ^متى; ^कैसे; ^कौन; ^कहाँ; ^कब; ^come si; ^come posso;
        ^come mai; ^come funziona; ^was ist; ^was sind; ^was macht; ^was kann; ^was soll; ^was wäre; ^was bedeutet;
        ^comment faire; ^comment puis; ^comment est; ^comment on; ^comment je; ^comment fonctionne; ^kim bu
    """),
    cue("program (other)", CODE, 8, """
        funktion schreiben; quellcode; programmiere; fehler im code; une fonction; le code; código; codice;
        programma che; un programa; programa que; programa en; programa em; um programa; ein programm; un programme;
        programma dat; kod; kodu; программу; функцию; 代码; 函数; 程序; コード; 関数; プログラム; 코드; 함수; برنامج;
        دالة; कोड; 代碼; 程式; python skript; python kodu
    """),
    cue("advise (other)", REASONING, VETO, """
        rechtslage; haftet; haftung; juridique; jurídico; юридически; диагноз; 法律意见; 诊断; 診断; 진단; 법적;
        diagnostiziere; diagnostique; diagnostica; was soll ich; que dois je; qué debo; cosa devo; wat moet ik
    """),
)  # fmt: skip
