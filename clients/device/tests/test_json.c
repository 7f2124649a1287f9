/* JSON: what is accepted, and what is read from it. */
#include "check.h"
#include "event.h"
#include "json.h"

#include <string.h>

static void test_a_text_is_accepted_by_the_grammar_alone(void)
{
    static const char *const good[] = {
        "{}", "[]", "null", "true", "false", "0", "-0", "1.5e+10", "12E-3", "\"\"", " { } ",
        "{\"a\":[1,{\"b\":null},\"c\"]}", "\"\\u00e9\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82\"", "[[[[]]]]", "\t[\n1\r,2 ]",
        "\"\\ud83d\\ude42\"", "{\"a\":1,\"a\":2}",
    };
    static const char *const bad[] = {
        "", " ", "{", "}", "[1,]", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "{\"a\":}", "[1 2]", "01",
        "-", "1.", ".5", "1e", "+1", "nul", "truee", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\t\"",
        "\"\x80\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"",
        "[] []", "{\"a\":1]", "[1}", "'a'", "NaN", "\xef\xbb\xbf{}", "[,]", "{,}", "\"\\",
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK(json_check(slice_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!json_check(slice_of(bad[i])));
    CHECK(!json_check(slice_of(NULL)));
}

static void test_nesting_has_a_bound(void)
{
    char text[4 * JSON_DEPTH];

    memset(text, '[', sizeof text);
    memset(text + JSON_DEPTH, ']', JSON_DEPTH);
    CHECK(json_check((struct streamd_slice){text, 2 * JSON_DEPTH}));
    memset(text, '[', sizeof text);
    memset(text + JSON_DEPTH + 1, ']', JSON_DEPTH + 1);
    CHECK(!json_check((struct streamd_slice){text, 2 * JSON_DEPTH + 2}));
}

static void test_members_are_found_by_their_decoded_name(void)
{
    struct streamd_slice object =
        slice_of("{ \"x\" : {\"a\":1} , \"t\\u0079pe\":\"ac\\u006b\", \"a\":[2,{\"a\":3}],\"a\":4 }");
    int64_t number;

    CHECK(json_check(object));
    CHECK(json_is(json_member(object, "type"), "ack"));
    CHECK(!json_is(json_member(object, "type"), "ac"));
    CHECK(!json_is(json_member(object, "type"), "acks"));
    CHECK(json_integer(json_member(object, "a"), &number) && number == 4);
    CHECK(json_integer(json_member(json_member(object, "x"), "a"), &number) && number == 1);
    CHECK(json_member(object, "b").at == NULL);
    CHECK(json_member(slice_of("[1]"), "a").at == NULL);
    CHECK(json_member(slice_of("{}"), "").at == NULL);
}

static void test_strings_are_decoded_and_cut_between_characters(void)
{
    char text[8];

    CHECK(json_text(slice_of("\"\\ud83d\\ude42\\u00e9\""), text, sizeof text));
    CHECK(strcmp(text, "\xf0\x9f\x99\x82\xc3\xa9") == 0);
    CHECK(json_text(slice_of("\"\\ud83dx\""), text, sizeof text));
    CHECK(strcmp(text, "\xef\xbf\xbdx") == 0);
    CHECK(!json_text(slice_of("\"123456\\u20ac\""), text, sizeof text));
    CHECK(strcmp(text, "123456") == 0);
    CHECK(json_text(slice_of("\"1234567\""), text, sizeof text));
    CHECK(!json_text(slice_of("12"), text, sizeof text) && text[0] == '\0');
    CHECK(!json_text(slice_of("\"a\""), text, 0));
}

static void test_integers_have_64_bits_and_no_more(void)
{
    int64_t n = 0;

    CHECK(json_integer(slice_of("9223372036854775807"), &n) && n == INT64_MAX);
    CHECK(json_integer(slice_of("-9223372036854775808"), &n) && n == INT64_MIN);
    CHECK(!json_integer(slice_of("9223372036854775808"), &n));
    CHECK(!json_integer(slice_of("-9223372036854775809"), &n));
    CHECK(!json_integer(slice_of("99999999999999999999"), &n));
    CHECK(!json_integer(slice_of("1.0"), &n) && !json_integer(slice_of("1e3"), &n));
    CHECK(json_integer(slice_of("-0"), &n) && n == 0);
}

static void test_numbers_are_those_of_the_standard_library(void)
{
    static const char *const texts[] = {"0",     "-1",     "0.9997",  "1e3",   "-2.5e-3", "1e22",
                                        "1e-22", "123456", "0.1",     "1e300", "3e-300",
                                        "12345678901234567890123"};
    double number;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        double expected = strtod(texts[i], NULL);
        double error = expected < 0 ? -expected : expected;
        CHECK(json_number(slice_of(texts[i]), &number));
        CHECK(number - expected <= error * 1e-14 && expected - number <= error * 1e-14);
    }
    CHECK(json_number(slice_of("1e999999999999"), &number) && number > 1e308);
    CHECK(json_number(slice_of("1e-999999999999"), &number) && number == 0);
    CHECK(!json_number(slice_of("\"1\""), &number));
}

static void test_an_event_has_its_times_and_fields(void)
{
    static const char text[] = " {\"type\":\"wake\",\"seq\":7,\"t0\":256,\"t1\":704,\"at\":720,"
                               "\"word\":\"alexa\",\"score\":0.5,\"final\":false}";
    struct streamd_event event;
    char word[8];
    double score;
    bool flag;

    CHECK(event_read(&event, text, sizeof text - 1));
    CHECK(event.type == STREAMD_WAKE && event.seq == 7 && !event.is_final);
    CHECK(event.t0 == 256 && event.t1 == 704 && event.at == 720);
    CHECK(event.json.at == text + 1 && event.type_name.size == 4);
    CHECK(streamd_field_text(&event, "word", word, sizeof word) && strcmp(word, "alexa") == 0);
    CHECK(streamd_field_number(&event, "score", &score) && score == 0.5);
    CHECK(streamd_field_bool(&event, "final", &flag) && !flag);
    CHECK(!streamd_field_number(&event, "word", &score));
    CHECK(event_read(&event, "{\"type\":\"new\"}", 14) && event.type == STREAMD_UNKNOWN);
    CHECK(event.t0 == -1 && event.seq == 0 && event.is_final);
    CHECK(!event_read(&event, "{\"type\":1}", 10) && !event_read(&event, "\"{}\"", 4));
    CHECK(!event_read(&event, "[]", 2) && !event_read(&event, "", 0));
}

int main(void)
{
    test_a_text_is_accepted_by_the_grammar_alone();
    test_nesting_has_a_bound();
    test_members_are_found_by_their_decoded_name();
    test_strings_are_decoded_and_cut_between_characters();
    test_integers_have_64_bits_and_no_more();
    test_numbers_are_those_of_the_standard_library();
    test_an_event_has_its_times_and_fields();
    return 0;
}
