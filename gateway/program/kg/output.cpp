#include "gateway/program/kg/output.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <charconv>

#include "protocol/stream_event.hpp"

namespace kgents::kg {

namespace json = boost::json;

namespace {

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto count = ::write(fd, text.data(), text.size());
    if (count > 0) {
      text.remove_prefix(static_cast<size_t>(count));
    } else if (errno == EAGAIN) {
      pollfd room{fd, POLLOUT, 0};  // somebody made it non-blocking, for us too
      ::poll(&room, 1, -1);
    } else if (errno != EINTR) {
      throw stopped{1, ""};  // the disk is full
    }
  }
}

size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

bool is_plain(const json::value& x) {
  return !(x.is_object() && !x.get_object().empty()) && !(x.is_array() && !x.get_array().empty());
}

/// As people write numbers: Boost.JSON's 1.5E-1 is 0.15.
void append_compact(std::string& out, const json::value& x) {
  if (const auto* object = x.if_object()) {
    out += '{';
    for (const auto& member : *object) {
      out += &member == object->begin() ? "" : ",";
      append_json_string(out, member.key());
      out += ':';
      append_compact(out, member.value());
    }
    out += '}';
  } else if (const auto* list = x.if_array()) {
    out += '[';
    for (const auto& value : *list) {
      out += &value == &list->front() ? "" : ",";
      append_compact(out, value);
    }
    out += ']';
  } else if (const auto* number = x.if_double()) {
    char digits[32];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, *number).ptr);
  } else {
    out += json::serialize(x);
  }
}

std::string plain(const json::value& x) {
  return x.is_string() ? std::string{x.get_string()} : compact(x);
}

/// Long text keeps its indentation.
std::string indented(std::string_view text, size_t depth) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == '\n')
      out.append(depth, ' ');
  }
  return out;
}

void append_tree(std::string& out, const json::value& x, size_t depth) {
  const auto add = [&](const json::value& value, size_t here) {
    if (is_plain(value)) {
      out += ' ' + indented(plain(value), here + 2) + '\n';
    } else {
      out += '\n';
      append_tree(out, value, here + 2);
    }
  };
  if (const auto* object = x.if_object(); object != nullptr && !object->empty()) {
    for (const auto& [name, value] : *object) {
      out.append(depth, ' ') += std::string{name} + ':';
      add(value, depth);
    }
  } else if (const auto* list = x.if_array(); list != nullptr && !list->empty()) {
    for (const auto& value : *list) {
      out.append(depth, ' ') += '-';
      add(value, depth);
    }
  } else {
    out.append(depth, ' ') += indented(plain(x), depth) + '\n';
  }
}

/// As one line: a cell must not look like more rows or columns.
std::string in_one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r' || c == '\t')
      c = ' ';
  return text;
}

struct told {
  std::string message, why, try_;
};

/// What a user of kg can do about it; the server's own words are about HTTP.
std::string advice(unsigned status, std::string_view code, std::string_view message,
                   std::chrono::seconds wait) {
  if (status == 401)
    return "kg login, with a key that is valid here";
  if (code == "SYNTAX_ERROR")
    return "context.holon.aspect, as kg world.house.manifest";
  if (code == "PATH_NOT_FOUND" || code == "NODE_NOT_REGISTERED")
    return "kg '?world.*' lists what is there; the contexts are world, self, concept, void, time";
  if (code == "AFFORDANCE_DENIED")
    return "--archetype NAME, or one of the affordances listed";
  if (status == 403 && message.find("scope") != message.npos)
    return "a key that has the scope; kg whoami shows what this one may";
  if (status == 402)
    return "kg void.gratitude.tithe gives back to the pool";
  if (wait.count() > 0)
    return "again in " + std::to_string(wait.count()) + " s";
  return {};
}

told read_problem(const http_answer& x) {
  told out;
  std::string code;
  json::error_code error;
  const auto body = json::parse(x.body, error);
  const auto* object = error ? nullptr : body.if_object();
  const auto* detail = object == nullptr ? nullptr : object->if_contains("detail");
  if (object != nullptr)
    code = text_member(*object, "code");
  if (detail != nullptr && detail->is_string()) {
    out.message = detail->get_string();
  } else if (detail != nullptr && detail->is_object()) {
    const auto& all = detail->get_object();
    out.message = text_member(all, "error");
    out.why = text_member(all, "why");
    out.try_ = text_member(all, "suggestion");
    code = text_member(all, "code");
  } else if (detail != nullptr && detail->is_array()) {
    for (const auto& one : detail->get_array())
      if (const auto* wrong = one.if_object()) {
        out.message += out.message.empty() ? "" : "; ";
        out.message += shown_member(*wrong, "loc") + ": " + text_member(*wrong, "msg");
      }
  }
  if (out.message.empty())
    out.message = "the server answered with status " + std::to_string(x.status);
  if (auto own = advice(x.status, code, out.message, x.retry_after); !own.empty())
    out.try_ = std::move(own);
  return out;
}

}  // namespace

std::string compact(const json::value& x) {
  std::string out;
  append_compact(out, x);
  return out;
}

std::string harmless(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto after = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    const bool c1 = c == 0xc2 && after >= 0x80 && after < 0xa0;  // U+0080 to U+009F
    if (c1 || c == 0x7f || (c < 0x20 && c != '\n' && c != '\t')) {
      out += "\xef\xbf\xbd";
      i += c1 ? 1 : 0;
    } else {
      out += text[i];
    }
  }
  return out;
}

output::output(bool json) : json_{json}, terminal_{::isatty(STDOUT_FILENO) == 1} {}

void output::text(std::string_view x) const {
  if (terminal_)
    write_all(STDOUT_FILENO, harmless(x));
  else
    write_all(STDOUT_FILENO, x);
}

void output::object(const json::object& x) const { text(compact(x) + '\n'); }

void output::tree(const json::value& x) const {
  std::string out;
  append_tree(out, x, 0);
  text(out);
}

void output::table(const std::vector<std::string>& names,
                   const std::vector<std::vector<std::string>>& rows) const {
  std::vector<size_t> widths;
  for (const auto& name : names)
    widths.push_back(width_of(name));
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], width_of(row[i]));
  std::string out;
  const auto add = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += in_one_line(row[i]);
      if (i + 1 < row.size())
        out.append(widths[i] - width_of(row[i]) + 2, ' ');
    }
    while (out.ends_with(' '))
      out.pop_back();
    out += '\n';
  };
  add(names);
  for (const auto& row : rows)
    add(row);
  text(out);
}

void note(std::string_view text) { note_line("kg: " + std::string{text}); }

void note_line(std::string_view text) { write_all(STDERR_FILENO, harmless(text) + '\n'); }

std::string problem_text(const http_answer& x, bool json) {
  const auto told = read_problem(x);
  if (json)
    return json::serialize(json::object{
        {"error", told.message}, {"status", x.status}, {"why", told.why}, {"try", told.try_}});
  auto out = told.message;
  if (!told.why.empty())
    out += "\n\n    Why: " + told.why;
  if (!told.try_.empty())
    out += "\n\n    Try: " + told.try_;
  return out;
}

std::string text_member(const json::object& x, std::string_view name) {
  const auto* value = x.if_contains(name);
  return value != nullptr && value->is_string() ? std::string{value->get_string()} : std::string{};
}

std::string shown_member(const json::object& x, std::string_view name) {
  const auto* value = x.if_contains(name);
  if (value == nullptr || value->is_null())
    return {};
  const auto* list = value->if_array();
  if (list == nullptr)
    return plain(*value);
  std::string out;
  for (const auto& one : *list)
    out += (out.empty() ? "" : ",") + plain(one);
  return out;
}

}  // namespace kgents::kg
