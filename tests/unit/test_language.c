#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "core/api/language.h"

static void expect_language(const char *text, size_t len, const char *script, const char *language)
{
    struct pm_language l;
    pm_language_of(text, len, &l);
    expect(strcmp(l.script, script) == 0 && strcmp(l.language, language) == 0, "%.80s\n  is %s/%s, not %s/%s\n", text,
           l.script, l.language, script, language);
}

static const struct {
    const char *script, *language, *text;
} texts[] = {
    {"Latn", "en", "What is the capital of France?"},
    {"Latn", "en", "How do I sort a list with two keys in Python?"},
    {"Latn", "en", "Please explain to me why this test is flaky and mend it."},
    {"Latn", "en", "Fix the bug in my parser"},
    {"Latn", "de", "Wie kann ich die Datei mit einem Skript umbenennen?"},
    {"Latn", "de", "Das ist nicht der Fehler, den ich meine."},
    {"Latn", "de", "Schreibe mir eine Zusammenfassung der letzten Sitzung und der offenen Punkte"},
    {"Latn", "de", "Erkläre mir bitte, wie das Programm auf den Server kommt"},
    {"Latn", "fr", "Comment est-ce que je peux trier une liste dans ce programme ?"},
    {"Latn", "fr", "Quelle est la différence entre les deux méthodes et pourquoi ?"},
    {"Latn", "fr", "Écris une fonction pour lire le fichier avec des tests"},
    {"Latn", "es", "¿Cómo puedo leer el archivo con los datos y mostrarlo en una tabla?"},
    {"Latn", "es", "Explica por qué los tests del proyecto no pasan en mi máquina"},
    {"Latn", "es", "Escribe una función para ordenar las listas por fecha"},
    {"Latn", "pt", "Como posso ler um arquivo com os dados do meu projeto?"},
    {"Latn", "pt", "Não entendo o erro da função, explique em poucas palavras"},
    {"Latn", "pt", "Escreva uma função para ordenar os nomes e as datas do arquivo"},
    {"Latn", "it", "Come posso leggere il file con gli elementi della lista?"},
    {"Latn", "it", "Non capisco che cosa sono gli errori di questa funzione"},
    {"Latn", "it", "Scrivi una funzione per ordinare gli elementi di una lista"},
    {"Latn", "nl", "Hoe kan ik een lijst met namen sorteren in het programma?"},
    {"Latn", "nl", "Dat is niet de fout die ik op mijn scherm zie"},
    {"Latn", "pl", "Jak mogę posortować listę w programie, jeśli nie jest pusta?"},
    {"Latn", "pl", "Czy to jest błąd, że się nie kompiluje na serwerze?"},
    {"Latn", "tr", "Bu dosyayı nasıl okuyabilirim ve bir liste olarak yazabilirim?"},
    {"Latn", "tr", "Bana bir fonksiyon yaz, çok hızlı olsun ve test için örnek ver"},
    {"Latn", "vi", "Làm thế nào để tôi có thể đọc các tệp trong thư mục này?"},
    {"Latn", "vi", "Hãy viết cho tôi một hàm với các bài kiểm tra"},
    {"Latn", "id", "Bagaimana cara membaca berkas ini dengan Python dan menampilkan isinya?"},
    {"Latn", "id", "Apa yang saya lakukan untuk memperbaiki kesalahan itu?"},
    {"Latn", "sv", "Hur kan jag läsa en fil med Python och skriva ut det som är i den?"},
    {"Latn", "sv", "Det är inte den fil som jag vill att du ändrar på"},
    {"Latn", "cs", "Jak mohu načíst soubor, že se to na serveru nepovedlo?"},
    {"Latn", "cs", "Co je to za chybu a jak se dá opravit, prosím? Jsem na serveru."},
    {"Cyrl", "ru", "Как отсортировать список в Python?"},
    {"Cyrl", "ru", "Исправь ошибку в этом файле"},
    {"Cyrl", "ru", "Почему не проходит тест test_main?"},
    {"Grek", "el", "Πώς μπορώ να διαβάσω ένα αρχείο;"},
    {"Hebr", "he", "איך אני קורא קובץ בפייתון?"},
    {"Arab", "ar", "كيف يمكنني قراءة ملف؟"},
    {"Arab", "ar", "ما هو سبب هذا الخطأ في البرنامج؟"},
    {"Deva", "hi", "मैं फ़ाइल कैसे पढ़ूँ?"},
    {"Beng", "bn", "আমি কীভাবে একটি ফাইল পড়ব?"},
    {"Taml", "ta", "ஒரு கோப்பை எப்படி படிப்பது?"},
    {"Thai", "th", "ฉันจะอ่านไฟล์ได้อย่างไร"},
    {"Hang", "ko", "파일을 어떻게 읽나요?"},
    {"Hang", "ko", "Python에서 리스트를 정렬하는 방법을 알려줘"},
    {"Jpan", "ja", "ファイルを読み込むにはどうすればいいですか?"},
    {"Jpan", "ja", "このエラーの原因を説明してください"},
    {"Jpan", "ja", "日本語で説明してください"},
    {"Hani", "zh", "如何读取文件?"},
    {"Hani", "zh", "请解释这段代码为什么报错"},
    {"Hani", "zh", "用 Python 写一个快速排序"},
    /* where nothing tells */
    {"Latn", "", "main.c"},
    {"Latn", "", "xyzzy plugh"},
    {"", "", ""},
    {"", "", "42 + 17 = ?"},
    {"", "", "\n\t  "},
    {"", "", "🎉🎉"},
};

static void a_text_is_of_its_script_and_language(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct pm_language l;
        pm_language_of(texts[i].text, strlen(texts[i].text), &l);
        if (strcmp(l.script, texts[i].script) == 0 && strcmp(l.language, texts[i].language) == 0)
            continue;
        print_error("%s\n  is %s/%s, not %s/%s\n", texts[i].text, l.script, l.language, texts[i].script,
                    texts[i].language);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void capitals_change_nothing(void **state)
{
    static const char loud[] = "WHAT IS THE CAPITAL OF FRANCE?";
    (void)state;
    expect_language(loud, sizeof(loud) - 1, "Latn", "en");
}

static void only_the_first_bytes_count(void **state)
{
    static const char word[] = "the code is of ", other[] = "файл не читается ";
    char text[6000];
    size_t len = 0;
    (void)state;
    while (len + sizeof(word) < 2500) {
        memcpy(text + len, word, sizeof(word) - 1);
        len += sizeof(word) - 1;
    }
    while (len + sizeof(other) < sizeof(text)) {
        memcpy(text + len, other, sizeof(other) - 1);
        len += sizeof(other) - 1;
    }
    expect_language(text, len, "Latn", "en");
}

/* Sanitizers would tell of a byte that is read behind the end. */
static void a_text_cut_anywhere_or_not_utf8_does_no_harm(void **state)
{
    struct pm_language l;
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        for (size_t n = 0; n <= strlen(texts[i].text); n++)
            pm_language_of(texts[i].text, n, &l);
    for (int c = 0; c < 256; c++) {
        char bytes[] = {(char)c, (char)0xff, (char)(255 - c), 'a', (char)c};
        pm_language_of(bytes, sizeof(bytes), &l);
        assert_true(l.script && l.language);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_of_its_script_and_language),
        cmocka_unit_test(capitals_change_nothing),
        cmocka_unit_test(only_the_first_bytes_count),
        cmocka_unit_test(a_text_cut_anywhere_or_not_utf8_does_no_harm),
    };
    return cmocka_run_group_tests_name("language", tests, NULL, NULL);
}
