// `minke info` from outside: what it prints, and how it ends when a file is not what it should be.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/apps/run_minke.h"
#include "tests/models/deepseek2/deepseek2_keys.h"
#include "tests/support.h"

using namespace minke::test;
using Json = nlohmann::json;

namespace {

const std::string kTemplateA =
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ 'User: ' + m['content'] "
    "+ '\\n\\n' }}{% elif m['role'] == 'assistant' %}{{ 'Assistant: ' + m['content'] + eos_token "
    "}}{% elif m['role'] == 'system' %}{{ m['content'] + '\\n\\n' }}{% endif %}{% endfor %}{% if "
    "add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

/// V2-Lite's metadata with a little tokenizer and one tensor of each of two types.
GgufBuilder small_model() {
  GgufBuilder b = lite_keys();
  b.string("general.name", "small").string("tokenizer.ggml.model", "gpt2");
  b.string("tokenizer.ggml.pre", "deepseek-llm").strings("tokenizer.ggml.tokens", {"a", "b", "ab"});
  b.strings("tokenizer.ggml.merges", {"a b"}).u32("tokenizer.ggml.bos_token_id", 0);
  b.u32("tokenizer.ggml.eos_token_id", 2).f32("general.sampling.temp", 0.5f);
  b.string("tokenizer.chat_template", kTemplateA);
  b.zeros("output_norm.weight", {2048});
  b.tensor("output.weight", {2048, 2}, 8, std::string(2 * 64 * 34, '\0'));
  return b;
}

}  // namespace

TEST_CASE("info: --json tells the configuration, the types and the memory of a context") {
  const TempDir dir;
  write_file(dir / "m.gguf", small_model().build());
  const RunResult result = run_minke({"info", "--json", "-c", "100,4096", dir / "m.gguf"});
  REQUIRE(result.exit_code == 0);
  CHECK(result.err.empty());
  const Json json = Json::parse(result.out);
  CHECK(json["name"] == "small");
  CHECK(json["config"]["layers"] == 27);
  CHECK(json["config"]["kv_lora_rank"] == 512);
  CHECK(json["weights"] == 2048 + 4096);
  CHECK(json["weight_bytes"] == 2048 * 4 + 128 * 34);
  CHECK(json["tensor_types"].size() == 2);
  CHECK(json["tensor_types"][0]["type"] == "F32");
  CHECK(json["tensor_types"][1]["bytes"] == 128 * 34);
  // 27 layers of 576 values; 100 tokens take two blocks of 64.
  CHECK(json["context_memory"][0]["f16_bytes"] == 27 * 576 * 2 * 128);
  CHECK(json["context_memory"][1]["tokens"] == 4096);
  CHECK(json["context_memory"][1]["f16_bytes"] == 4096 * 31104);
  CHECK(json["context_memory"][1]["f32_bytes"] == 4096 * 2 * 31104);
  CHECK(json["context_memory"][1]["q8_0_bytes"] == 4096 * 27 * 576 / 32 * 34);
  CHECK(json["context_memory"][1]["q8_bytes"] == 4096 * 27 * (4 + 512 + 4 + 2 * 64));
  CHECK(json["context_memory"][1]["fp8_bytes"] == 4096 * 27 * (8 * 68 + 2 * 34));
  CHECK(json["context_memory"][1]["q6_bytes"] == 4096 * 27 * (16 * 22 + 2 * 34));
  CHECK(json["context_memory"][1]["q4_bytes"] == 4096 * 27 * (16 * 18 + 2 * 34));
  CHECK(json["tokenizer"]["tokens"] == 3);
  CHECK(json["tokenizer"]["special"]["eos"]["text"] == "ab");
  CHECK(json["chat_template"]["name"] == "deepseek2");
  CHECK(json["chat_template"]["problem"].is_null());
  CHECK(json["sampling"]["temperature"]["value"] == 0.5);
  CHECK(json["sampling"]["temperature"]["source"] == "the file");
  CHECK(json["sampling"]["top_p"]["source"] == "the model family");
  CHECK(json["sampling"]["top_k"]["source"] == "Minke");
}

TEST_CASE("info: the text says the same to a person") {
  const TempDir dir;
  GgufBuilder b = small_model();
  b.without("general.name").string("general.name", "evil\x1b[2J\nname");
  write_file(dir / "m.gguf", b.build());
  const RunResult result = run_minke({"info", "-m", dir / "m.gguf"});
  REQUIRE(result.exit_code == 0);
  for (const char* part : {"27, of them 1 dense", "64 routed of width 1408, 6 used a token",
                           "YaRN factor 40 from 4096", "163840", "127.40 MB", "Q8_0", "bos 0 'a'",
                           "evil\\x1b[2J\\x0aname"}) {
    INFO(part);
    CHECK(result.out.find(part) != std::string::npos);
  }
  CHECK(result.out.find('\x1b') == std::string::npos);
}

TEST_CASE("info: a template that Minke does not know is told, with what to do") {
  const TempDir dir;
  GgufBuilder b = small_model();
  b.without("tokenizer.chat_template");
  for (const bool in_file : {false, true}) {
    if (in_file) b.string("tokenizer.chat_template", "{{ 'Something else: ' + messages }}");
    write_file(dir / "m.gguf", b.build());
    const RunResult result = run_minke({"info", "--json", dir / "m.gguf"});
    REQUIRE(result.exit_code == 0);
    const Json json = Json::parse(result.out);
    CHECK(json["chat_template"]["name"].is_null());
    CHECK(json["chat_template"]["problem"].get<std::string>().find("chat-template") !=
          std::string::npos);
  }
}

TEST_CASE("info: options come from the environment, the command line wins") {
  const TempDir dir;
  write_file(dir / "m.gguf", small_model().build());
  const std::string model = "MINKE_MODEL=" + (dir / "m.gguf").string();
  CHECK(run_minke({"info"}, {model}).exit_code == 0);
  CHECK(run_minke({"info", "--json"}, {model, "MINKE_CTX_SIZE=64"}).out.find("\"tokens\": 64") !=
        std::string::npos);
  CHECK(run_minke({"info", "--json", "-c", "128"}, {model, "MINKE_CTX_SIZE=64"})
            .out.find("\"tokens\": 64") == std::string::npos);
  check_refused(run_minke({"info", dir / "none"}, {model}), 66, "no such file");
  check_refused(run_minke({"info"}, {model, "MINKE_CTX_SIZE=many"}), 1, "--ctx-size");
}

TEST_CASE("info: what cannot be read ends in one line and the right exit code") {
  const TempDir dir;
  const std::string good = small_model().build();
  write_file(dir / "empty.gguf", "");
  write_file(dir / "text.gguf", "This is a text, not a model.\n");
  write_file(dir / "short.gguf", good.substr(0, good.size() / 2));
  write_file(dir / "header.gguf", good.substr(0, 13));
  write_file(dir / "data.gguf", good.substr(0, good.size() - 100));
  write_file(dir / "lfs.gguf", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
  REQUIRE(mkfifo((dir / "pipe.gguf").c_str(), 0600) == 0);
  GgufBuilder other = small_model();
  other.without("general.architecture").string("general.architecture", "llama");
  write_file(dir / "llama.gguf", other.build());
  write_file(dir / "line\nbreak.gguf", "x");

  const auto info = [&dir](std::string_view name) {
    return run_minke({"info", (dir / name).string()});
  };
  check_refused(info("none.gguf"), 66, "none.gguf: no such file");
  check_refused(info("."), 74, "is a directory");
  check_refused(info("pipe.gguf"), 74, "is a pipe");
  check_refused(info("empty.gguf"), 65, "empty.gguf: the file is empty");
  check_refused(info("text.gguf"), 65, "text.gguf: offset 0x0: header: not a GGUF file");
  check_refused(info("lfs.gguf"), 65, "Git LFS pointer");
  check_refused(info("short.gguf"), 65, "short.gguf: offset 0x");
  check_refused(info("header.gguf"), 65, "the file ends inside");
  check_refused(info("data.gguf"), 65, "beyond the end of the file");
  check_refused(info("llama.gguf"), 1, "llama.gguf: key 'general.architecture'");
  check_refused(info("line\nbreak.gguf"), 65, "line\\x0abreak.gguf: offset 0x0");
}

TEST_CASE("info: output that cannot be written is an error") {
  const TempDir dir;
  write_file(dir / "m.gguf", small_model().build());
  const auto result = run_program(
      {"sh", "-c", "exec " MINKE_BINARY " info " + (dir / "m.gguf").string() + " >/dev/full"});
  CHECK(result.exit_code == 74);
  CHECK(result.err.starts_with("minke: cannot write the output"));
}

TEST_CASE("the program refuses what it does not know") {
  check_refused(run_minke({}), 1, "no command");
  check_refused(run_minke({"frobnicate"}), 1, "unknown command 'frobnicate'");
  check_refused(run_minke({"info"}), 1, "no model");
  check_refused(run_minke({"info", "--frob", "x.gguf"}), 1, "unknown argument '--frob'");
  check_refused(run_minke({"info", "x.gguf", "y.gguf"}), 1, "unknown argument 'y.gguf'");
  check_refused(run_minke({"info", "-c", "0", "x.gguf"}), 1, "--ctx-size");
  check_refused(run_minke({"info", "-c"}), 1, "--ctx-size");
  CHECK(run_minke({"--help"}).exit_code == 0);
  CHECK(run_minke({"--version"}).out.starts_with("minke "));
  CHECK(run_minke({"info", "--help"}).out.find("--json") != std::string::npos);
  CHECK(run_minke({"help", "info"}).out == run_minke({"info", "--help"}).out);
}
