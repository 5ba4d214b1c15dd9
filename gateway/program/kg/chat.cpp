// kg chat: lines in, answers out, whatever becomes of the connection.

#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <deque>

#include "gateway/program/kg/program.hpp"
#include "gateway/program/kg/terminal.hpp"
#include "gateway/program/kg/turn_view.hpp"

namespace kgents::kg {

namespace json = boost::json;
using std::chrono::milliseconds;

namespace {

/// The server says something every 15 s.
constexpr std::chrono::seconds stream_silence{45};
/// A stream that held for so long was a good one, though nothing came over it.
constexpr std::chrono::seconds good_stream{5};
/// What is typed while an answer comes waits; as many as a session keeps.
constexpr size_t max_typed_ahead = 8;
constexpr size_t max_title_bytes = 60;

constexpr std::string_view chat_help =
    "/mode reflect, advise, challenge or explore; /cancel ends the answer, as Ctrl-C does; /quit "
    "or Ctrl-D leaves";

/// The beginning of a text, cut between characters.
std::string beginning(std::string_view text) {
  if (text.size() <= max_title_bytes)
    return std::string{text};
  size_t end = max_title_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
    --end;
  return std::string{text.substr(0, end)} + "...";
}

class conversation {
public:
  explicit conversation(const program& p)
      : p_{p},
        loop_{p.http.loop()},
        session_{p.args.session},
        mode_{p.args.mode},
        interactive_{p.out.terminal() && ::isatty(STDIN_FILENO) == 1 && !p.out.json()} {}

  int run();

private:
  enum class outcome { said, failed, left, again };

  [[nodiscard]] std::optional<std::string> next_line();
  [[nodiscard]] bool obey(std::string_view line);
  void open_session(std::string_view first_words);
  [[nodiscard]] outcome say(const std::string& text);
  [[nodiscard]] http_request message(const std::string& text, const std::string& key) const;
  [[nodiscard]] http_request resumption(const turn_view& view) const;
  [[nodiscard]] outcome follow(exchange& x, turn_view& view, patience& waits);
  [[nodiscard]] outcome show(const llm::sse_event& x, turn_view& view);
  [[nodiscard]] outcome ended(const exchange& x);
  [[nodiscard]] outcome look_up(turn_view& view);
  [[nodiscard]] outcome wait_for_server(patience& waits);
  [[nodiscard]] outcome handle_typing();
  void cancel();
  [[nodiscard]] std::string path(std::string_view rest) const;

  const program& p_;
  event_loop& loop_;
  std::string session_;
  std::string mode_;
  const bool interactive_;
  line_reader lines_{loop_};
  interrupts interrupts_{loop_};
  unsigned seen_interrupts_ = 0;
  bool canceling_ = false;
  bool quit_ = false;  // left by /quit, not by Ctrl-C
  milliseconds asked_wait_{0};
  std::deque<std::string> typed_;
};

int conversation::run() {
  if (interactive_)
    note("talking to K-gent at " + p_.server + "; " + std::string{chat_help});
  int status = exit_good;
  while (status == exit_good) {
    if (interactive_)
      p_.out.text("\n> ");
    const auto line = next_line();
    if (!line) {
      status = interrupts_.count() > seen_interrupts_ ? exit_interrupted : exit_good;
      break;
    }
    if (*line == "/quit")
      break;
    if (line->find_first_not_of(" \t") == std::string::npos || obey(*line))
      continue;
    const auto out = say(*line);
    if (out == outcome::left)
      status = quit_ ? exit_good : exit_interrupted;
    if (out == outcome::left)
      break;
    if (out == outcome::failed && !interactive_)
      status = exit_refused;
  }
  if (interactive_ && !session_.empty())
    note("kg chat --session " + session_ + " goes on here");
  return status;
}

std::optional<std::string> conversation::next_line() {
  if (!typed_.empty()) {
    auto out = std::move(typed_.front());
    typed_.pop_front();
    return out;
  }
  for (bool warned = false;; warned = true) {
    lines_.ask();
    loop_.until([&] {
      return lines_.has_line() || lines_.ended() || interrupts_.count() > seen_interrupts_;
    });
    if (lines_.has_line())
      return lines_.take();
    if (lines_.ended() || warned || !interactive_)
      return std::nullopt;
    seen_interrupts_ = interrupts_.count();
    note("once more, or Ctrl-D, to leave");
  }
}

/// Lines that are for kg itself.
bool conversation::obey(std::string_view line) {
  if (line == "/help") {
    note(chat_help);
  } else if (line == "/cancel") {
    note("nothing is being answered");
  } else if (line.starts_with("/mode ")) {
    mode_ = line.substr(line.find_first_not_of(' ', 5));
  } else {
    return false;
  }
  return true;
}

std::string conversation::path(std::string_view rest) const {
  return "/v1/kgent/sessions/" + escaped(session_) + std::string{rest};
}

void conversation::open_session(std::string_view first_words) {
  json::object body{{"title", p_.args.title.empty() ? beginning(first_words) : p_.args.title}};
  if (!mode_.empty())
    body["mode"] = mode_;
  const auto made = ask_object(p_, {.method = "POST",
                                    .target = "/v1/kgent/sessions",
                                    .body = json::serialize(body),
                                    .header_lines = idempotency_line(new_idempotency_key())});
  session_ = text_member(made, "id");
  if (p_.out.json())
    p_.out.object({{"event", "session"}, {"id", session_}});
}

http_request conversation::message(const std::string& text, const std::string& key) const {
  json::object body{{"message", text}};
  if (!mode_.empty())
    body["mode"] = mode_;
  return {.method = "POST",
          .target = path("/messages"),
          .body = json::serialize(body),
          .header_lines = idempotency_line(key)};
}

http_request conversation::resumption(const turn_view& view) const {
  return {.target = path("/stream"), .header_lines = "Last-Event-ID: " + view.last_id() + "\r\n"};
}

conversation::outcome conversation::say(const std::string& text) {
  if (session_.empty())
    open_session(text);
  turn_view view;
  auto waits = new_patience(p_);
  // As long as nothing was heard, the message is sent again under the same key: it is stored once.
  const auto key = new_idempotency_key();
  canceling_ = false;
  for (;;) {
    asked_wait_ = milliseconds{0};
    const auto x = p_.http.begin(view.last_id().empty() ? message(text, key) : resumption(view),
                                 stream_silence);
    auto out = follow(*x, view, waits);
    if (out == outcome::again)
      out = wait_for_server(waits);
    if (out != outcome::again) {
      if (!p_.out.json() && !view.shown().empty())
        p_.out.text("\n");
      return out;
    }
  }
}

conversation::outcome conversation::follow(exchange& x, turn_view& view, patience& waits) {
  const auto began = steady::now();
  for (;;) {
    if (interactive_ && typed_.size() < max_typed_ahead)
      lines_.ask();
    loop_.until([&] {
      return x.has_event() || x.ended() || interrupts_.count() > seen_interrupts_ ||
             (interactive_ && lines_.has_line());
    });
    if (const auto out = handle_typing(); out != outcome::again)
      return out;
    while (const auto event = x.next()) {
      if (event->name != "reconnect")
        waits.reached();
      if (const auto out = show(*event, view); out != outcome::again)
        return out;
    }
    if (x.ended() && !x.has_event()) {
      if (x.streaming() && steady::now() - began > good_stream)
        waits.reached();
      return ended(x);
    }
  }
}

/// What the user did meanwhile; `again`: nothing that ends the answer here.
conversation::outcome conversation::handle_typing() {
  bool cancel_now = false;
  if (interrupts_.count() > seen_interrupts_) {
    seen_interrupts_ = interrupts_.count();
    if (canceling_)
      return outcome::left;
    cancel_now = true;
  }
  if (interactive_ && lines_.has_line()) {
    auto line = *lines_.take();
    if (line == "/quit" && typed_.empty()) {
      quit_ = true;
      return outcome::left;
    }
    if (line == "/cancel")
      cancel_now = true;
    else
      typed_.push_back(std::move(line));
  }
  if (cancel_now)
    cancel();
  return outcome::again;
}

void conversation::cancel() {
  canceling_ = true;
  const auto out = p_.http.call({.method = "POST", .target = path("/cancel")}, usual_silence);
  if (const auto* why = std::get_if<failure>(&out))
    note("not canceled: " + failure_text(*why, p_.server));
  else if (const auto& answer = std::get<http_answer>(out); answer.status >= 400)
    note("not canceled: " + problem_text(answer, false));
}

conversation::outcome conversation::show(const llm::sse_event& x, turn_view& view) {
  using kind = turn_news::kind;
  const auto news = view.take(x);
  const bool told =
      news.what == kind::text || news.what == kind::complete || news.what == kind::error;
  if (told && p_.out.json()) {
    json::error_code error;
    auto data = json::parse(x.data, error);
    json::object line{{"event", x.name}, {"id", x.id}};
    if (!error && data.is_object())
      for (auto& [name, value] : data.get_object())
        line[name] = std::move(value);
    p_.out.object(line);
  } else if (news.what == kind::text || news.what == kind::complete) {
    p_.out.text(news.text);
  }
  switch (news.what) {
    case kind::complete:
      if (news.reason == "canceled")
        note("canceled");
      return canceling_ && !interactive_ ? outcome::left : outcome::said;
    case kind::error:
      note(news.text + " (" + news.reason + ")");
      return outcome::failed;
    case kind::hole:
      return look_up(view);
    case kind::nothing:
    case kind::text:
    case kind::reconnect:
      break;
  }
  return outcome::again;
}

/// The turn as it is stored: events between are not known any more.
conversation::outcome conversation::look_up(turn_view& view) {
  const auto turn = ask_object(p_, {.target = path("/turns/" + view.turn())});
  const auto* chunks = turn.if_contains("chunks");
  const auto missing =
      view.catch_up(text_member(turn, "text"),
                    chunks != nullptr && chunks->is_int64() ? chunks->get_int64() : int64_t{0});
  const auto status = text_member(turn, "status");
  if (p_.out.json())
    p_.out.object({{"event", "stored"}, {"status", status}, {"text", missing}});
  else
    p_.out.text(missing);
  if (status == "failed") {
    note("the answer failed");
    return outcome::failed;
  }
  return status == "completed" || status == "canceled" ? outcome::said : outcome::again;
}

conversation::outcome conversation::ended(const exchange& x) {
  if (x.failed() || x.streaming())
    return outcome::again;
  const auto& answer = x.answer();
  const bool later = answer.status == 502 || answer.status == 503 || answer.status == 504 ||
                     (answer.status == 409 && answer.retry_after.count() > 0);
  asked_wait_ = answer.retry_after;
  if (later)
    return outcome::again;
  if (!interactive_ || answer.status == 401)
    throw refused_by(p_, answer);
  note(problem_text(answer, false));
  return outcome::failed;
}

conversation::outcome conversation::wait_for_server(patience& waits) {
  const auto wait = waits.next(steady::now(), asked_wait_);
  if (!wait)
    throw stopped{exit_unreachable,
                  "no answer from " + p_.server + " for " + std::to_string(waits.limit().count()) +
                      " s\n\n    Why: the connection was lost. What the server has begun to "
                      "answer it goes on answering.\n\n    Try: kg sessions " +
                      session_ + " shows it later; kg chat --session " + session_ + " goes on"};
  if (waits.tries() == 4)
    note("lost " + p_.server + "; looking for it for " + std::to_string(waits.limit().count()) +
         " s");
  loop_.until([&] { return interrupts_.count() > seen_interrupts_; }, steady::now() + *wait);
  return interrupts_.count() > seen_interrupts_ ? outcome::left : outcome::again;
}

}  // namespace

int chat(const program& p) { return conversation{p}.run(); }

}  // namespace kgents::kg
