/* JSON without a tree: a text is checked once, and then read in place. */
#ifndef STREAMD_JSON_H
#define STREAMD_JSON_H

#include "streamd.h"

#define JSON_DEPTH 32 /* deepest nesting of arrays and objects that is accepted */

/* Return whether a text is one JSON value: its grammar, its UTF-8, its depth. */
bool json_check(struct streamd_slice text);

/* The functions below take texts that have passed `json_check`, and parts of them. */

/* Return the value of a member, or an absent slice. Of equal names the last counts. */
struct streamd_slice json_member(struct streamd_slice object, const char *name);

/* Read the member at `*at` and step behind it; `*at` is 0 at first. False: there is no other. `name`
 * has its quotes. */
bool json_next(struct streamd_slice object, size_t *at, struct streamd_slice *name,
               struct streamd_slice *value);

/* Copy a string, decoded and terminated by a zero. False: no string, or it does not fit; then as
 * many whole characters as fit are copied. */
bool json_text(struct streamd_slice value, char *text, size_t size);
/* Return whether a value is this string. */
bool json_is(struct streamd_slice value, const char *text);
/* Read an integer. False: no number, or not an integer of 64 bits. */
bool json_integer(struct streamd_slice value, int64_t *integer);
/* Read a number, exact to about 15 digits. False: no number. */
bool json_number(struct streamd_slice value, double *number);
/* Read true or false. False: neither. */
bool json_bool(struct streamd_slice value, bool *flag);
/* Return whether a value is an object. */
bool json_is_object(struct streamd_slice value);

/* Return a slice of a terminated text. */
struct streamd_slice slice_of(const char *text);

#endif
