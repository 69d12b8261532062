/* Models as folders, single files and shard indexes; the text of an index. */
#include "test_files.h"

#include "../src/files/model.h"
#include "../src/files/shard_index.h"

/* A shard of the scratch model with one tensor for each letter of `letters`, four bytes each. */
static void make_shard(const char *path, const char *letters)
{
  fail why = {0};
  st_tensor t[8];
  char names[8][8];
  st_writer *w = NULL;
  out_file *out = NULL;
  st_pair format = {"format", "pt"};
  size_t n = strlen(letters);
  for (size_t i = 0; i < n; i++) {
    snprintf(names[i], sizeof names[i], "%c.w", letters[i]);
    t[i] = (st_tensor){.name = names[i], .dtype = ST_F16, .ndim = 2, .shape = {1, 2}};
  }
  bool ok = st_writer_plan(&w, t, n, &format, 1, path, &why) &&
            out_file_create(&out, path, true, &why) && st_writer_start(w, out, &why);
  for (size_t i = 0; ok && i < n; i++) {
    char bytes[4] = {letters[i], letters[i], letters[i], letters[i]};
    ok = st_writer_write(w, i, 0, bytes, 4, &why);
  }
  ok = ok && st_writer_finish(w, &why) && out_file_commit(&out, &why);
  CHECK(ok, "%s: %s", path, why.text);
  out_file_abort(out);
  st_writer_free(w);
}

static const char index_text[] =
    "{\n  \"metadata\": {\n    \"total_parameters\": 8,\n    \"total_size\": 16\n  },\n"
    "  \"weight_map\": {\n    \"a.w\": \"model-00001-of-00002.safetensors\",\n"
    "    \"b.w\": \"model-00002-of-00002.safetensors\",\n"
    "    \"c.w\": \"model-00001-of-00002.safetensors\",\n"
    "    \"d.w\": \"model-00002-of-00002.safetensors\"\n  }\n}\n";

static void check_index_text(void)
{
  char one[64], first[64], second[64];
  buf b = {0};
  fail why = {0};
  index_shard_name(one, 0, 1);
  index_shard_name(first, 0, 2);
  index_shard_name(second, 1, 2);
  CHECK(strcmp(one, "model.safetensors") == 0, "%s", one);
  index_entry entries[] = {{"d.w", second}, {"a.w", first}, {"c.w", first}, {"b.w", second}};
  CHECK(index_write(&b, entries, 4, 8, 16, &why) && strcmp(b.data, index_text) == 0, "%s", b.data);
  buf_free(&b);
}

static bool opens(const char *path, fail_kind kind, const char *part)
{
  fail why = {0};
  model *m = NULL;
  bool ok = model_open(&m, path, &why);
  CHECK(ok || strstr(why.text, part) != NULL, "%s, expected \"%s\"", why.text, part);
  CHECK(why.kind == kind, "%s: %s", fail_kind_name(why.kind), why.text);
  model_close(m);
  return ok;
}

static void make_folder(void)
{
  CHECK(new_folder(at("m")), "mkdir");
  make_shard(at("m/model-00001-of-00002.safetensors"), "ca");
  make_shard(at("m/model-00002-of-00002.safetensors"), "db");
  put_text(at("m/model.safetensors.index.json"), index_text);
  put_text(at("m/config.json"), "{\"model_type\": \"llama\"}\n");
  put_text(at("m/tokenizer.json"), "{}");
  put_text(at("m/merges.txt"), "");
  put_text(at("m/pytorch_model.bin"), "");
  put_text(at("m/.hidden"), "");
  CHECK(new_folder(at("m/sub")), "mkdir");
}

static void check_folder(void)
{
  fail why = {0};
  model *m = NULL;
  char bytes[4];
  if (!CHECK(model_open(&m, at("m"), &why), "%s", why.text))
    return;
  CHECK(model_is_folder(m) && model_shard_count(m) == 2 && model_tensor_count(m) == 4, "counts");
  CHECK(strcmp(model_at(m, 0)->tensor->name, "a.w") == 0 && model_at(m, 3)->shard == 1, "order");
  CHECK(model_data_bytes(m) == 16, "bytes");
  CHECK(strcmp(model_shard_name(m, 1), "model-00002-of-00002.safetensors") == 0, "name");
  const model_tensor *t = model_find(m, "d.w");
  CHECK(t != NULL && model_read(m, t, 1, bytes, 3, &why) && memcmp(bytes, "ddd", 3) == 0, "%s",
        why.text);
  CHECK(model_find(m, "e.w") == NULL, "no e");
  CHECK(model_gguf(m) == NULL && model_shard(m, 1) != NULL &&
            strstr(model_shard_path(m, 1), "m/model-00002-of") != NULL,
        "%s", model_shard_path(m, 1));
  json_doc *config = model_config(m);
  CHECK(config != NULL &&
            json_is(config, json_get(config, json_root(config), "model_type"), "llama"),
        "config");
  CHECK(model_extra_count(m) == 2 && strcmp(model_extra(m, 0), "merges.txt") == 0 &&
            strcmp(model_extra(m, 1), "tokenizer.json") == 0,
        "%zu extras", model_extra_count(m));
  out_folder *to = NULL;
  CHECK(out_folder_create(&to, at("copy"), NULL, false, &why) && model_copy_extras(m, to, &why) &&
            out_folder_commit(&to, &why),
        "%s", why.text);
  CHECK(entries(at("copy")) == 2 && same_text(at("copy/tokenizer.json"), "{}"), "copied");
  out_folder_abort(to);
  model_close(m);
}

static void check_single(void)
{
  fail why = {0};
  model *m = NULL;
  CHECK(model_open(&m, at("m/model-00001-of-00002.safetensors"), &why), "%s", why.text);
  CHECK(m != NULL && !model_is_folder(m) && model_tensor_count(m) == 2 && model_config(m) == NULL &&
            model_folder(m) == -1 &&
            strcmp(model_shard_name(m, 0), "model-00001-of-00002.safetensors") == 0,
        "one file");
  model_close(m);
  CHECK(opens(at("m/model.safetensors.index.json"), FAIL_NONE, ""), "an index");
  put_text(at("m/none.index.json"), "{\"weight_map\":{}}");
  CHECK(opens(at("m/none.index.json"), FAIL_NONE, ""), "an index of nothing");
  static const char *const letters[] = {"p", "q", "r", "s", "t"};
  char name[32], list[400] = "{\"weight_map\":{";
  for (size_t i = 0; i < 5; i++) {
    size_t n = strlen(list);
    snprintf(name, sizeof name, "m/five-%s.safetensors", letters[i]);
    make_shard(at(name), letters[i]);
    snprintf(list + n, sizeof list - n, "%s\"%s.w\":\"%s\"", i > 0 ? "," : "", letters[i],
             name + 2);
  }
  strcat(list, "}}");
  put_text(at("m/five.index.json"), list);
  CHECK(opens(at("m/five.index.json"), FAIL_NONE, ""), "five shards");
  put_text(at("m/dots.json"), "{\"weight_map\":{\"a\":\"..\"}}");
  CHECK(!opens(at("m/dots.json"), FAIL_FORMAT, "not a plain file name"), "the folder above");
  put_text(at("m/x.gguf"), "GGUF");
  put_text(at("m/gguf"), "GGUF");
  put_text(at("m/quantize_config.json"), "{}");
  CHECK(!opens(at("m/x.gguf"), FAIL_TRUNCATED, "version"), "by its suffix");
  CHECK(!opens(at("m/gguf"), FAIL_TRUNCATED, "version"), "by its first bytes");
  CHECK(chdir(at("m")) == 0 && opens("model-00001-of-00002.safetensors", FAIL_NONE, "") &&
            opens("model.safetensors.index.json", FAIL_NONE, "") && opens(".", FAIL_NONE, ""),
        "from inside");
}

static void check_refused(void)
{
  CHECK(!opens(at("none"), FAIL_IO, "cannot open"), "absent");
  CHECK(new_folder(at("e")) && !opens(at("e"), FAIL_NOTFOUND, "not a Hugging Face"), "empty");
  put_text(at("e/config.json"), "{}");
  CHECK(!opens(at("e"), FAIL_NOTFOUND, "no .safetensors here"), "only a config");
  make_shard(at("e/x.safetensors"), "a");
  CHECK(opens(at("e"), FAIL_NONE, ""), "the only one");
  make_shard(at("e/y.safetensors"), "b");
  CHECK(!opens(at("e"), FAIL_NOTFOUND, "2 .safetensors files"), "which?");
  make_shard(at("e/model.safetensors"), "ab");
  CHECK(opens(at("e"), FAIL_NONE, ""), "model.safetensors comes first");
  put_text(at("e/config.json"), "{\"a\":1,}");
  CHECK(!opens(at("e"), FAIL_FORMAT, "config.json: format: byte 7"), "bad config");
  put_text(at("e/config.json"), "[]");
  CHECK(!opens(at("e"), FAIL_FORMAT, "is not a JSON object"), "a list");
  remove_all(at("e"));
#ifndef _WIN32
  CHECK(symlink("nowhere", at("e/gone.safetensors")) == 0 &&
            !opens(at("e"), FAIL_NOTFOUND, "not a"),
        "a link that leads nowhere is no file");
#endif
  for (int i = 0; i < 40; i++) {
    char name[64];
    snprintf(name, sizeof name, "e/extra%d.txt", i);
    put_text(at(name), "");
  }
  make_shard(at("e/model.safetensors"), "a");
  CHECK(opens(at("e"), FAIL_NONE, ""), "many extras");
  remove_all(at("e"));
  char text[400];
  snprintf(text, sizeof text, "{\"weight_map\":{\"a\":\"%0256d\"}}", 0);
  put_text(at("e/long.index.json"), text);
  CHECK(!opens(at("e/long.index.json"), FAIL_FORMAT, "not a plain file name"), "256 bytes");
  remove_all(at("e"));

  make_shard(at("m/model-00002-of-00002.safetensors"), "dbx");
  CHECK(!opens(at("m"), FAIL_FORMAT, "holds tensor \"x.w\""), "not listed");
  make_shard(at("m/model-00002-of-00002.safetensors"), "d");
  CHECK(!opens(at("m"), FAIL_FORMAT, "does not hold tensor \"b.w\""), "not there");
  make_shard(at("m/model-00002-of-00002.safetensors"), "dba");
  CHECK(!opens(at("m"), FAIL_FORMAT, "holds tensor \"a.w\""), "in two shards");
  make_shard(at("elsewhere"), "db");
  unlink(at("m/model-00002-of-00002.safetensors"));
  CHECK(!opens(at("m"), FAIL_IO, "model-00002-of-00002.safetensors: cannot open"), "gone");
#ifndef _WIN32
  CHECK(symlink("../elsewhere", at("m/model-00002-of-00002.safetensors")) == 0, "symlink");
  CHECK(opens(at("m"), FAIL_NONE, ""), "links in a folder");
  CHECK(!opens(at("m/model.safetensors.index.json"), FAIL_FORMAT, "symbolic link"),
        "links refused");
#endif
}

int main(void)
{
  scratch_make();
  check_index_text();
  make_folder();
  check_folder();
  check_refused();
  unlink(at("m/model-00002-of-00002.safetensors"));
  make_shard(at("m/model-00002-of-00002.safetensors"), "db");
  check_single();
  CHECK(chdir("/") == 0, "chdir");
  scratch_remove();
  return test_end();
}
