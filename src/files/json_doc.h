/*
 * json_doc.h - the inside of a JSON document, for json_*.c only.
 *
 * Owns: the node. Sixteen bytes each, and at most one for each of , : [ { outside of strings plus
 * one, so the whole document is bounded by its text. The value of a member is the node after its
 * name.
 */
#ifndef QUANT_FILES_JSON_DOC_H
#define QUANT_FILES_JSON_DOC_H

#include "json.h"

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
  char *text;       /* the source; strings are unescaped where they stand */
  json_node *nodes; /* nodes[0] stands for "none" */
  uint32_t count, capacity;
  char **added; /* one block each, so that texts handed out stay where they are */
  uint32_t added_count;
  size_t added_capacity;
  bool failed; /* memory ran out while changing */
};

_Static_assert(JSON_BYTES_MAX < 1 << 28, "a text length fits json_node.size");

/* Is the text of `v` exactly these bytes? */
bool json_equal(const json_doc *d, json_id v, const char *text, size_t length);

#endif
