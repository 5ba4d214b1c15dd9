#include "actors/llm/openai_wire.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

namespace kgents::llm {

namespace {

namespace json = boost::json;

constexpr std::string_view go_on =
    "Your previous message was cut off. Go on exactly where it stopped, in the middle of the "
    "sentence or word if need "
    "be. Do not repeat any of it, and do not comment on the interruption.";

json::object message(std::string_view role, std::string_view content) {
  return {{"role", json::string_view{role.data(), role.size()}},
          {"content", json::string_view{content.data(), content.size()}}};
}

const json::object* first_choice(const json::object& in) {
  const auto* choices = in.if_contains("choices");
  if (choices == nullptr || !choices->is_array() || choices->get_array().empty())
    return nullptr;
  return choices->get_array().front().if_object();
}

class decoder final : public answer_decoder {
public:
  bool event(const sse_event& in, decoded& out) override {
    if (in.data == "[DONE]") {
      out.over = true;
      if (end.finish_reason.empty())
        end.finish_reason = "stop";
      return true;
    }
    return with_json_object(in.data, [&](const json::object& x) {
      common(x, out);
      if (const auto* choice = first_choice(x)) {
        if (const auto* delta = object_in(*choice, "delta"))
          text(*delta, out);
        finish(*choice, out);
      }
      return true;
    });
  }

  bool document(std::string_view body, decoded& out) override {
    return with_json_object(body, [&](const json::object& x) {
      common(x, out);
      out.over = true;
      const auto* choice = first_choice(x);
      if (choice == nullptr)
        return out.error.has_value();
      const auto* message = object_in(*choice, "message");
      if (message == nullptr)
        return out.error.has_value();
      text(*message, out);
      finish(*choice, out);
      if (end.finish_reason.empty())
        end.finish_reason = "stop";
      return true;
    });
  }

private:
  void common(const json::object& x, decoded& out) {
    if (const auto model = string_in(x, "model"); !model.empty() && end.model.empty())
      end.model = model;
    if (const auto* tokens = object_in(x, "usage")) {
      const auto in = count_in(*tokens, "prompt_tokens");
      const auto made = count_in(*tokens, "completion_tokens");
      if (in && made)
        end.tokens = {*in, *made, false};
    }
    const auto* error = x.if_contains("error");
    if (error == nullptr || error->is_null())
      return;
    if (const auto* details = error->if_object()) {
      auto kind = std::string{string_in(*details, "type")};
      kind += ' ';
      kind += string_in(*details, "code");
      out.error = failure_of_report("openai", kind, count_in(*details, "code").value_or(0));
    } else {
      out.error = failure_of_report("openai", {}, 0);
    }
  }

  static void text(const json::object& from, decoded& out) {
    out.text = string_in(from, "content");
    // Models that think aloud send this first; it is not part of the answer, but it is a sign of
    // life.
    out.alive = !out.text.empty() || !string_in(from, "reasoning_content").empty() ||
                !string_in(from, "reasoning").empty();
  }

  void finish(const json::object& choice, decoded& out) {
    const auto reason = string_in(choice, "finish_reason");
    if (reason.empty())
      return;
    if (reason == "error" && !out.error)  // OpenRouter
      out.error = failure_of_report("openai", {}, 0);
    end.finish_reason = reason == "length" ? "length" : "stop";
  }
};

}  // namespace

std::string openai_request(const prompt& ask, std::string_view model) {
  json::array messages;
  if (!ask.system.empty())
    messages.push_back(message("system", ask.system));
  for (const auto& x : ask.messages)
    messages.push_back(message(x.role, x.content));
  if (!ask.prefix.empty()) {
    messages.push_back(message("assistant", ask.prefix));
    messages.push_back(message("user", go_on));
  }
  return json::serialize(json::object{
      {"model", json::string_view{model.data(), model.size()}},
      {"messages", std::move(messages)},
      {"stream", true},
      {"stream_options", {{"include_usage", true}}},
      {"temperature", std::clamp(ask.temperature, 0.0, 2.0)},
      {"max_tokens", ask.max_tokens},
  });
}

std::unique_ptr<answer_decoder> openai_decoder() { return std::make_unique<decoder>(); }

}  // namespace kgents::llm
