#pragma once

#include <boost/json/object.hpp>

#include "gateway/program/kg/arguments.hpp"
#include "gateway/program/kg/output.hpp"
#include "gateway/program/kg/patience.hpp"

namespace kgents::kg {

/// What every command has at hand.
struct program {
  const arguments& args;
  const output& out;
  const http_client& http;
  const std::string& server;  ///< as the user wrote it
  const std::string& key;     ///< never shown
};

/// How long a server may think without a word: longer than it gives a model.
constexpr std::chrono::seconds longest_thought{330};
/// … and when nothing but its database is asked.
constexpr std::chrono::seconds usual_silence{30};

/// One request, repeated where that does no harm: GET, PUT, DELETE, and what has an
/// Idempotency-Key. Ends the program when it is refused or there is no server.
http_answer ask(const program& p, http_request what, std::chrono::seconds silence = usual_silence);
/// The same of an answer that is a JSON object.
boost::json::object ask_object(const program& p, http_request what,
                               std::chrono::seconds silence = usual_silence);

[[nodiscard]] std::string new_idempotency_key();
[[nodiscard]] std::string idempotency_line(std::string_view key);

[[nodiscard]] stopped refused_by(const program& p, const http_answer& x);
[[nodiscard]] stopped unreachable(const program& p, failure x);
/// In a few words: "no server answers at http://…".
[[nodiscard]] std::string failure_text(failure x, std::string_view server);

/// Runs the loop for so long.
void pause(const program& p, std::chrono::milliseconds time);
[[nodiscard]] patience new_patience(const program& p);

// The commands, each in the file of its subject. They return the exit status.
int login(const arguments& args, const output& out);
int logout(const output& out);
int whoami(const program& p);
int chat(const program& p);
int sessions(const program& p);
int invoke(const program& p);
int query(const program& p);
int alias(const program& p);
int subscribe(const program& p);
int keys(const program& p);
int create_key(const program& p);
int rotate_key(const program& p);
int revoke_key(const program& p);
int usage(const program& p);
int users(const program& p);
int audit(const program& p);
int cluster(const program& p);
int completion(const output& out);
int words(const program& p);

/// An aspect that speaks, as its answer is made.
int stream_aspect(const program& p, const std::string& node, const std::string& aspect);

}  // namespace kgents::kg
