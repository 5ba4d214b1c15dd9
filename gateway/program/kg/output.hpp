#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/program/kg/http.hpp"

namespace kgents::kg {

/// Ends the program; thrown by what cannot go on. `text` is what standard error shows.
struct stopped {
  int status;
  std::string text;
};

/// Text from a server as a terminal may show it: what would move its cursor or change its state is
/// replaced.
[[nodiscard]] std::string harmless(std::string_view text);

/// As one line of JSON.
[[nodiscard]] std::string compact(const boost::json::value& x);

/// Standard output. A reader that went away ends the program quietly, by SIGPIPE.
class output {
public:
  explicit output(bool json);

  [[nodiscard]] bool json() const noexcept { return json_; }
  [[nodiscard]] bool terminal() const noexcept { return terminal_; }

  /// As it is, at once; made harmless for a terminal.
  void text(std::string_view x) const;
  /// One object a line.
  void object(const boost::json::object& x) const;
  /// For people: text as it is, members and elements one a line.
  void tree(const boost::json::value& x) const;
  /// Columns under their names.
  void table(const std::vector<std::string>& names,
             const std::vector<std::vector<std::string>>& rows) const;

private:
  const bool json_;
  const bool terminal_;
};

/// A line on standard error: `kg: …`.
void note(std::string_view text);
/// The same without a name before it.
void note_line(std::string_view text);

/// What the server's refusal says: the message, then Why and Try paragraphs. With `json`: one
/// object.
[[nodiscard]] std::string problem_text(const http_answer& x, bool json);

/// A member as text: empty when it is not there or null.
[[nodiscard]] std::string text_member(const boost::json::object& x, std::string_view name);
/// The same of a number, a boolean or a list, as JSON; a list of texts with commas.
[[nodiscard]] std::string shown_member(const boost::json::object& x, std::string_view name);

}  // namespace kgents::kg
