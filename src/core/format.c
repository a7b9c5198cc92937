/* SPDX-License-Identifier: MIT */
/* The formatter: one pass over the format; each directive is parsed into a field_t and its text padded. */
#include "core/format.h"

#include <string.h>

typedef struct sink_s {
  char* at;
  char* end; /* place of the terminator at the latest */
} sink_t;

typedef struct field_s {
  size_t width;
  size_t precision; /* of strings: most characters */
  bool left;
  bool zeros;
  unsigned longs; /* 0 int, 1 long or size_t, 2 long long */
} field_t;

enum { DIGITS_MAX = 20 }; /* of 2^64 in decimal */

static void put_char(sink_t* sink, char c) {
  if (sink->at < sink->end) *sink->at++ = c;
}

static void put_many(sink_t* sink, char c, size_t count) {
  for (size_t i = 0; i < count; i++) put_char(sink, c);
}

static void put_padded(sink_t* sink, const field_t* field, const char* text, size_t length) {
  const size_t padding = field->width > length ? field->width - length : 0;
  if (!field->left) put_many(sink, ' ', padding);
  for (size_t i = 0; i < length; i++) put_char(sink, text[i]);
  if (field->left) put_many(sink, ' ', padding);
}

static const field_t unpadded = {0};

/* `sign` (or "0x") goes before the zeros that fill the width. */
static void put_number(sink_t* sink, const field_t* field, uint64_t value, unsigned base, const char* sign) {
  char text[DIGITS_MAX + 2];
  size_t at = sizeof(text);
  do {
    text[--at] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value != 0);
  const size_t sign_length = strlen(sign);
  if (field->zeros && !field->left) {
    const size_t length = sizeof(text) - at + sign_length;
    for (size_t i = 0; i < sign_length; i++) put_char(sink, sign[i]);
    put_many(sink, '0', field->width > length ? field->width - length : 0);
    put_padded(sink, &unpadded, text + at, sizeof(text) - at);
  } else {
    at -= sign_length;
    memcpy(text + at, sign, sign_length);
    put_padded(sink, field, text + at, sizeof(text) - at);
  }
}

static size_t parse_number(const char** at) {
  size_t value = 0;
  while (**at >= '0' && **at <= '9') value = value * 10 + (size_t)(*(*at)++ - '0');
  return value;
}

/* Flags, width, precision and length; *precision_given tells that the caller must fetch it (".*"). */
static field_t parse_field(const char** at, bool* precision_given) {
  field_t field = {.precision = SIZE_MAX};
  for (; **at == '-' || **at == '0'; (*at)++) {
    if (**at == '-') field.left = true;
    else field.zeros = true;
  }
  field.width = parse_number(at);
  *precision_given = (*at)[0] == '.' && (*at)[1] == '*';
  if (*precision_given) {
    *at += 2;
  } else if (**at == '.') {
    (*at)++;
    field.precision = parse_number(at);
  }
  for (; **at == 'l' || **at == 'z'; (*at)++) field.longs++;
  return field;
}

static void put_string(sink_t* sink, const field_t* field, const char* text) {
  if (text == NULL) text = "(null)";
  size_t length = 0;
  while (length < field->precision && text[length] != 0) length++;
  put_padded(sink, field, text, length);
}

size_t format_text_v(char* buffer, size_t size, const char* format, va_list arguments) {
  sink_t sink = {buffer, buffer + size - 1};
  va_list list;
  va_copy(list, arguments);
  for (const char* at = format; *at != 0; at++) {
    if (*at != '%') {
      put_char(&sink, *at);
      continue;
    }
    at++;
    bool precision_given;
    field_t field = parse_field(&at, &precision_given);
    if (precision_given) field.precision = (size_t)va_arg(list, int);
    if (*at == 's') {
      put_string(&sink, &field, va_arg(list, const char*));
    } else if (*at == 'd') {
      const int64_t value = field.longs != 0 ? va_arg(list, long) : va_arg(list, int);
      put_number(&sink, &field, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0 ? "-" : "");
    } else if (*at == 'u' || *at == 'x') {
      const uint64_t value = field.longs != 0 ? va_arg(list, unsigned long) : va_arg(list, unsigned);
      put_number(&sink, &field, value, *at == 'u' ? 10 : 16, "");
    } else if (*at == 'p') {
      put_number(&sink, &field, (uintptr_t)va_arg(list, void*), 16, "0x");
    } else if (*at == 'c') {
      const char c = (char)va_arg(list, int);
      put_padded(&sink, &field, &c, 1);
    } else if (*at == '%') {
      put_char(&sink, '%');
    } else {
      break; /* the format ends in the middle of a directive, or has one we do not know */
    }
  }
  va_end(list);
  *sink.at = 0;
  return (size_t)(sink.at - buffer);
}

size_t format_text(char* buffer, size_t size, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const size_t length = format_text_v(buffer, size, format, arguments);
  va_end(arguments);
  return length;
}

_Static_assert(sizeof(long) == sizeof(long long) && sizeof(long) == sizeof(size_t),
               "l, ll and z are the same");
