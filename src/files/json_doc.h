/*
 * json_doc.h - the inside of a JSON document, for json_*.c only.
 *
 * Owns: how values are kept. As read they are a row of 32-bit entries in the order of the text: a
 * name, its value, what is in that, and so on. An entry has the kind (0: a name), whether it is the
 * last of its container, and where its text is; lengths are in the text. A value takes two bytes of
 * text at least, its comma included, so that all entries take at most twice the text, and with the
 * ids of the names of an object, which are sorted to find doubles, a document as read takes less
 * than four times its text. The first change makes 16-byte nodes of the entries, linked so that
 * members can be put between others; ids stay the same.
 */
#ifndef QUANT_FILES_JSON_DOC_H
#define QUANT_FILES_JSON_DOC_H

#include "json.h"

enum { JSON_AT_BITS = 27 };

#define JSON_AT ((UINT32_C(1) << JSON_AT_BITS) - 1)
#define JSON_LAST (UINT32_C(1) << 30)  /* of its container; not set in a name but in its value */
#define JSON_OTHER (UINT32_C(1) << 31) /* a container: empty; a text: it holds NULs, length first */

typedef struct json_node {
  uint32_t kind : 3;
  uint32_t added : 1; /* the text was put later: `first` counts in json_doc.added */
  uint32_t size : 28; /* bytes of text, items or members */
  uint32_t first;     /* offset of the text in json_doc.text, or the first child */
  uint32_t next;      /* next item, or name of the next member */
  uint32_t at;        /* offset in the source, for messages */
} json_node;

struct json_doc {
  char *file;
  uint64_t base;
  char *text;        /* the source; strings are unescaped where they stand */
  uint32_t *entries; /* entries[0] stands for "none" */
  json_node *nodes;  /* instead of the entries, from the first change on */
  uint32_t count, capacity;
  char **added; /* one block each, so that texts handed out stay where they are */
  uint32_t added_count;
  size_t added_capacity;
  bool failed; /* memory ran out while changing */
};

_Static_assert(JSON_BYTES_MAX < 1 << JSON_AT_BITS, "an offset fits an entry, and a length a node");

/* Is the text of `v` exactly these bytes? */
bool json_equal(const json_doc *d, json_id v, const char *text, size_t length);

#endif
