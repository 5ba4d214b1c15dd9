#include "gateway/agentese/compositions.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "gateway/agentese/asking.hpp"
#include "gateway/agentese/envelope.hpp"
#include "protocol/agentese/composition.hpp"
#include "protocol/stream_event.hpp"

namespace kgents::gateway {

namespace json = boost::json;

std::vector<std::string> read_paths(const json::object& body, violations& wrong) {
  const auto& all = body.at("paths").as_array();
  std::vector<std::string> out;
  if (all.empty())
    add_violation(wrong, "too_short", {"body", "paths"},
                  "List should have at least 1 item after validation, not 0", all,
                  {{"field_type", "List"}, {"min_length", 1}, {"actual_length", 0}});
  if (all.size() > agentese::max_stages)
    add_violation(wrong, "too_long", {"body", "paths"},
                  "List should have at most " + std::to_string(agentese::max_stages) +
                      " items after validation, not " + std::to_string(all.size()),
                  nullptr,
                  {{"field_type", "List"},
                   {"max_length", agentese::max_stages},
                   {"actual_length", all.size()}});
  if (!wrong.empty())
    return out;
  for (size_t i = 0; i < all.size(); ++i) {
    if (const auto* text = all[i].if_string())
      out.emplace_back(*text);
    else
      add_violation(wrong, "string_type", {"body", "paths", i}, "Input should be a valid string",
                    all[i]);
  }
  return out;
}

uint64_t token_estimate(const actors::registry& nodes, const std::vector<std::string>& paths,
                        std::string_view tier) {
  uint64_t out = 0;
  for (const auto& path : paths)
    out += token_estimate(nodes, std::string_view{path}, tier);
  return out;
}

std::function<bool()> left_by(const call_ptr& c) {
  auto gone = std::make_shared<bool>(false);
  c->x->on_gone([gone] { *gone = true; });
  return [gone] { return *gone; };
}

std::string trace_text(const actors::composed& x) {
  std::string out = "[";
  for (const auto& stage : x.stages) {
    out += out.size() > 1 ? R"(,{"path":)" : R"({"path":)";
    append_json_string(out, stage.path);
    out += R"(,"span_id":)";
    append_json_string(out, stage.span_id);
    out += R"(,"duration_ms":)" + std::to_string(stage.duration_ms);
    out += R"(,"output_type":)";
    append_json_string(out, stage.output_type);
    out += '}';
  }
  out += ']';
  return out;
}

const std::string* result_of(const actors::composed& x) { return std::get_if<0>(&x.result); }

std::string pipeline_text(const actors::composed& x) {
  std::string out = R"({"stages":[)";
  for (const auto& stage : x.stages) {
    if (&stage != &x.stages.front())
      out += ',';
    out += R"({"aspect":)";
    append_json_string(out, agentese::split_last(stage.path).second);
    out += stage.success ? R"(,"success":true,"result":)" : R"(,"success":false,"result":)";
    out += stage.success && !stage.body.empty() ? stage.body : "null";
    out += R"(,"error":)";
    if (stage.wrong)
      append_json_string(out, stage.wrong->message);
    else
      out += "null";
    out += R"(,"duration_ms":)" + std::to_string(stage.duration_ms) + '}';
  }
  const bool success = !x.failed_stage && !x.stages.empty();
  out += R"(],"final_result":)";
  out += success ? x.stages.back().body : "null";
  out += success ? R"(,"success":true)" : R"(,"success":false)";
  out +=
      R"(,"failed_at":)" + (x.failed_stage ? std::to_string(*x.failed_stage) : std::string{"-1"});
  out += R"(,"total_duration_ms":)" + std::to_string(x.duration_ms) + '}';
  return out;
}

}  // namespace kgents::gateway
