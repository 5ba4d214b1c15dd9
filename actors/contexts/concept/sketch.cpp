// A concept as the skeleton of a program.

#include <algorithm>

#include "actors/contexts/concept/concept_text.hpp"
#include "actors/contexts/words.hpp"
#include "actors/persona/text.hpp"
#include "protocol/agentese/path.hpp"

namespace kgents::actors::concept_text {

namespace {

constexpr size_t most_fields = 6;

std::string type_name(std::string_view name) {
  std::string out;
  bool up = true;
  for (const char c : name) {
    if (c == ' ' || c == '_') {
      up = true;
      continue;
    }
    out += up && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    up = false;
  }
  return out;
}

std::vector<std::string> fields_of(const concept_view& x) {
  auto out = words::telling(x.definition, most_fields);
  // A field has to be an identifier in any of the languages, and no keyword.
  std::erase_if(out, [](const auto& y) { return !agentese::is_identifier(y); });
  for (auto& y : out)
    y += "_part";
  return out;
}

std::vector<std::string> functions_of(const concept_view& x) {
  std::vector<std::string> out;
  for (const auto& y : x.lineage.affordances)
    if (agentese::is_identifier(y) && y != "witness" && y != "define")
      out.push_back(y);
  if (out.empty())
    out = {"manifest", "relate"};
  return out;
}

}  // namespace

std::string sketch(const concept_view& x, std::string_view language) {
  const auto lower = persona::folded(language);
  const auto type = type_name(x.name);
  const auto fields = fields_of(x);
  const auto functions = functions_of(x);
  const auto about = words::shortened(x.definition.empty() ? x.name : x.definition, 200);
  std::string note = about;
  std::replace(note.begin(), note.end(), '\n', ' ');
  std::string out;
  if (lower == "python") {
    out = "class " + type + ":\n    # " + note + "\n    def __init__(self";
    for (const auto& f : fields)
      out += ", " + f;
    out += "):\n";
    for (const auto& f : fields)
      out += "        self." + f + " = " + f + "\n";
    if (fields.empty())
      out += "        super().__init__()\n";
    for (const auto& f : functions)
      out += "\n    def " + f + "(self, *args):\n        ...\n";
  } else if (lower == "go") {
    out = "// " + note + "\ntype " + type + " struct {\n";
    for (const auto& f : fields)
      out += "\t" + f + " any\n";
    out += "}\n\ntype " + type + "Acts interface {\n";
    for (const auto& f : functions)
      out += "\t" + type_name(f) + "(args ...any) any\n";
    out += "}\n";
  } else if (lower == "rust") {
    out = "/// " + note + "\npub struct " + type + " {\n";
    for (const auto& f : fields)
      out += "    pub " + f + ": String,\n";
    out += "}\n\npub trait " + type + "Acts {\n";
    for (const auto& f : functions)
      out += "    fn " + f + "(&self) -> String;\n";
    out += "}\n";
  } else if (lower == "typescript" || lower == "javascript") {
    out = "// " + note + "\nexport interface " + type + " {\n";
    for (const auto& f : fields)
      out += "  " + f + ": unknown;\n";
    for (const auto& f : functions)
      out += "  " + f + "(...args: unknown[]): unknown;\n";
    out += "}\n";
  } else if (lower == "c++" || lower == "cpp") {
    out = "// " + note + "\nclass " + type + " {\npublic:\n  virtual ~" + type + "() = default;\n";
    for (const auto& f : functions)
      out += "  virtual std::any " + f + "() = 0;\n";
    for (const auto& f : fields)
      out += "  std::any " + f + ";\n";
    out += "};\n";
  } else {
    out = type + ": " + note + "\n";
    for (const auto& f : fields)
      out += "  has " + f + "\n";
    for (const auto& f : functions)
      out += "  does " + f + "\n";
  }
  return out;
}

}  // namespace kgents::actors::concept_text
