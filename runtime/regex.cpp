#include "runtime/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdint>
#include <string>
#include <utility>

namespace minke {
namespace {

struct FreeCode {
  void operator()(pcre2_code* p) const noexcept { pcre2_code_free(p); }
};
struct FreeData {
  void operator()(pcre2_match_data* p) const noexcept { pcre2_match_data_free(p); }
};
struct FreeContext {
  void operator()(pcre2_match_context* p) const noexcept { pcre2_match_context_free(p); }
};

std::string error_text(int code) {
  char buffer[256];
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(buffer), sizeof buffer);
  return buffer;
}

}  // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code, FreeCode> code;
};

Regex::Regex(std::shared_ptr<const Code> code) noexcept : code_(std::move(code)) {}

Result<Regex> Regex::compile(std::string_view pattern) {
  // DOLLAR_ENDONLY: `$` is the end of the piece alone, as pieces never hold a newline inside.
  constexpr uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY;
  int error = 0;
  size_t offset = 0;
  auto code = std::make_shared<Code>();
  code->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                 kOptions, &error, &offset, nullptr));
  if (code->code == nullptr) {
    return fail(Errc::kUsage, "{} (at character {})", error_text(error), offset);
  }
  // Where the system forbids writable code pages PCRE2 interprets instead: slower, same result.
  pcre2_jit_compile(code->code.get(), PCRE2_JIT_COMPLETE);
  return Regex(std::move(code));
}

Regex::Regex(std::string_view pattern) {
  auto compiled = compile(pattern);
  MINKE_CHECK(compiled.has_value(), "pattern {}: {}", pattern, compiled.error().message);
  *this = std::move(*compiled);
}

bool Regex::found_in(std::string_view subject) const {
  const std::unique_ptr<pcre2_match_data, FreeData> data(pcre2_match_data_create(1, nullptr));
  MINKE_CHECK(data != nullptr, "no memory for a match");
  return pcre2_match(code_->code.get(), reinterpret_cast<PCRE2_SPTR>(subject.data()),
                     subject.size(), 0, 0, data.get(),
                     nullptr) >= 0;  // 0: more groups than asked for
}

struct Regex::Matcher::State {
  const pcre2_code* code;
  std::unique_ptr<pcre2_match_data, FreeData> data;
  std::unique_ptr<pcre2_match_context, FreeContext> context;
};

Regex::Matcher::Matcher(const Regex& regex) : state_(std::make_unique<State>()) {
  state_->code = regex.code_->code.get();
  state_->data.reset(pcre2_match_data_create(1, nullptr));
  state_->context.reset(pcre2_match_context_create(nullptr));
  MINKE_CHECK(state_->data && state_->context, "no memory for a match");
  // The patterns cannot run away (each backtracks over one run of characters once), so a limit
  // could only fail a long text.
  pcre2_set_match_limit(state_->context.get(), UINT32_MAX);
  pcre2_set_heap_limit(state_->context.get(), UINT32_MAX);
}

Regex::Matcher::~Matcher() = default;

std::pair<size_t, size_t> Regex::Matcher::find(std::string_view subject, size_t from) {
  const auto search = [&](uint32_t options) {
    return pcre2_match(state_->code, reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(),
                       from, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | options, state_->data.get(),
                       state_->context.get());
  };
  int found = search(0);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = search(PCRE2_NO_JIT);
  if (found == PCRE2_ERROR_NOMATCH) return {std::string_view::npos, std::string_view::npos};
  MINKE_CHECK(found > 0, "PCRE2 on {} bytes: {}", subject.size(), error_text(found));
  const size_t* ends = pcre2_get_ovector_pointer(state_->data.get());
  return {ends[0], ends[1]};
}

}  // namespace minke
