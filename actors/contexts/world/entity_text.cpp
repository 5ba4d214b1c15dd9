#include "actors/contexts/world/entity_text.hpp"

#include <array>
#include <boost/json/serialize.hpp>

#include "actors/contexts/defined_node.hpp"
#include "actors/contexts/words.hpp"
#include "actors/persona/random.hpp"

namespace kgents::actors::entity_text {

namespace json = boost::json;

namespace {

constexpr size_t most_words_bytes = 120;

std::string name_of(const stored_node& node) {
  return words::spoken(agentese::split_last(node.path).second);
}

std::string kind_of(const stored_node& node) { return words::spoken(node.entity_type); }

std::string spec_of(const stored_node& node) {
  return words::shortened(text_in(node.definition, "spec"), 600);
}

std::vector<std::string> names_of(const json::object& x) {
  std::vector<std::string> out;
  for (const auto& [name, value] : x)
    out.push_back(words::spoken(std::string_view{name}));
  return out;
}

}  // namespace

std::string in_words(const json::value& x) {
  if (x.is_string())
    return words::shortened(x.get_string(), most_words_bytes);
  if (x.is_array()) {
    std::vector<std::string> items;
    for (const auto& y : x.get_array()) {
      if (items.size() == 5)
        break;
      items.push_back(y.is_object() ? std::to_string(y.get_object().size()) + " details"
                                    : in_words(y));
    }
    if (items.empty())
      return "none";
    return words::shortened(words::listed(items), most_words_bytes);
  }
  if (x.is_object()) {
    const auto names = names_of(x.get_object());
    return names.empty() ? "nothing" : "with " + words::listed(names, 5);
  }
  if (x.is_bool())
    return x.get_bool() ? "yes" : "no";
  return x.is_null() ? "unknown" : json::serialize(x);
}

std::vector<std::string> facts(const json::object& state, size_t most) {
  std::vector<std::string> out;
  for (const auto& [name, x] : state) {
    if (out.size() == most)
      break;
    out.push_back(words::spoken(std::string_view{name}) + ": " + in_words(x));
  }
  return out;
}

std::string description(const stored_node& node) {
  std::string out =
      words::sentence("the " + name_of(node) + " is " + words::with_article(kind_of(node)));
  if (const auto spec = spec_of(node); !spec.empty())
    out += " " + words::sentence(spec);
  for (const auto& x : facts(node.state, 6))
    out += " " + words::sentence(x);
  const auto related = related_to(node);
  if (!related.empty())
    out += " It leads to " + words::listed(related, 5) + ".";
  if (node.state.empty() && related.empty())
    out += " Nothing of it has been told yet.";
  return out;
}

std::string metaphor(const stored_node& node, std::string_view context, size_t turn) {
  static constexpr std::array<std::string_view, 6> joints{" is ",
                                                          " keeps faith with ",
                                                          " answers to ",
                                                          " is a letter addressed to ",
                                                          " casts the shadow of ",
                                                          " remembers being "};
  const auto known = facts(node.state);
  std::string vehicle{context};
  std::string ground;
  if (!known.empty()) {
    const auto& fact = known[turn % known.size()];
    ground = fact;
    if (vehicle.empty())
      vehicle = fact.substr(0, fact.find(':'));
  }
  const auto related = related_to(node);
  if (vehicle.empty())
    vehicle = related.empty()
                  ? kind_of(node)
                  : words::spoken(agentese::split_last(related[turn % related.size()]).second);
  const auto joint = joints[(persona::hash_of(node.path) + turn) % joints.size()];
  std::string out = "The " + name_of(node) + std::string{joint} + vehicle;
  out += ground.empty() ? ": what it is, it has yet to be told." : ": " + ground + ".";
  return out;
}

std::string contemplation(const stored_node& node) {
  const auto known = facts(node.state);
  const auto& past = remembered(node);
  std::string out = "The " + name_of(node) + " stands in its place";
  if (!node.created_at.empty())
    out += " since " + node.created_at.substr(0, 10);
  out += past.empty() ? ", and nothing has been done to it."
                      : ", changed " + std::to_string(node.version) + " times.";
  if (!past.empty() && past.back().is_object())
    out += " The last was to " + words::spoken(text_in(past.back().get_object(), "action")) + ".";
  if (!known.empty()) {
    const auto& held = known[persona::hash_of(node.path) % known.size()];
    out += " Of all that is known of it, stay with this: " + held + ".";
  }
  const auto related = related_to(node);
  if (!related.empty())
    out += " It is not alone: " + words::listed(related, 3) + ".";
  out += " What would be missing if it were not there?";
  return out;
}

std::string design(const stored_node& node, std::string_view purpose) {
  static constexpr std::array<std::string_view, 4> wanted{"dimensions", "materials", "load_bearing",
                                                          "structure"};
  std::string out = "Design of the " + name_of(node);
  if (!purpose.empty())
    out += " for " + std::string{purpose};
  out += ".";
  if (const auto spec = spec_of(node); !spec.empty())
    out += " Intent: " + words::sentence(spec);
  const auto known = facts(node.state, 8);
  out += known.empty() ? " Nothing is fixed." : " Fixed: " + words::listed(known) + ".";
  std::vector<std::string> open;
  for (const auto x : wanted)
    if (!node.state.contains(x))
      open.push_back(words::spoken(x));
  for (const auto& x : words::telling(purpose, 4))
    if (!node.state.contains(x))
      open.push_back("what serves " + x);
  if (!open.empty())
    out += " To be decided: " + words::listed(open) + ".";
  return out;
}

std::vector<std::string> hypotheses(const stored_node& node) {
  std::vector<std::string> out;
  std::vector<std::string> numbers;
  std::vector<std::string> others;
  for (const auto& [name, x] : node.state)
    (x.is_number() ? numbers : others).push_back(words::spoken(std::string_view{name}));
  const auto name = name_of(node);
  for (size_t i = 0; i + 1 < numbers.size() && out.size() < 2; ++i)
    out.push_back("When the " + numbers[i] + " of the " + name + " grows, its " + numbers[i + 1] +
                  " changes with it.");
  if (!numbers.empty() && !others.empty() && out.size() < 3)
    out.push_back("The " + numbers.front() + " of the " + name + " depends on its " +
                  others.front() + ".");
  for (const auto& x : related_to(node))
    if (out.size() < 3)
      out.push_back("What changes the " + name + " changes " + x + " too.");
  for (const auto& x : others)
    if (out.size() < 3)
      out.push_back("Without its " + x + " the " + name + " would be used differently.");
  static constexpr std::array<std::string_view, 3> open{
      " changes more often than others of its kind.", " is used in more than one way.",
      " can be told apart from every other of its kind by a measurement."};
  for (const auto x : open)
    if (out.size() < 3)
      out.push_back("The " + name + std::string{x});
  return out;
}

std::string brief(const stored_node& node) {
  std::string out = "Entity: " + node.path + "\nKind: " + kind_of(node) + "\n";
  if (const auto spec = spec_of(node); !spec.empty())
    out += "Specification: " + spec + "\n";
  for (const auto& x : facts(node.state, 40))
    out += x + "\n";
  for (const auto& x : related_to(node))
    out += "leads to: " + x + "\n";
  return words::shortened(out, 8 * 1024);
}

}  // namespace kgents::actors::entity_text
