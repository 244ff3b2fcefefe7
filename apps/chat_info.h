// What the chat tells of itself.
#pragma once

#include <string>

#include "apps/chat_session.h"

namespace minke::apps {

/// Model, context, threads and sampling in a few lines, for the start.
std::string greeting(ChatSession& session);
/// The same and more, for /show info.
std::string chat_info(ChatSession& session);
/// The template's name and how a conversation looks in it.
std::string template_info(ChatSession& session);
/// The end of a loaded conversation, so that a person knows where it stood.
std::string last_turn(const ChatSession& session);

}  // namespace minke::apps
