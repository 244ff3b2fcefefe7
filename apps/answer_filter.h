// Takes off an answer what belongs to the template, while it streams.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "models/chat_template.h"

namespace minke::apps {

class AnswerFilter {
 public:
  /// Without a template all text passes.
  explicit AnswerFilter(std::optional<ChatTemplate> chat_template) : template_(chat_template) {}

  /// What of this piece is to be shown. The view holds until the next call.
  std::string_view push(std::string_view piece) {
    if (!template_) return piece;
    raw_ += piece;
    const size_t shown_before = shown_;
    const std::string_view content = template_->answer_content(raw_);
    shown_ = content.size();
    return content.substr(shown_before);
  }

 private:
  std::optional<ChatTemplate> template_;
  std::string raw_;
  size_t shown_ = 0;
};

}  // namespace minke::apps
