// The sentences of `voice.hpp`. Each stands alone, so that any order of them reads well, and none
// is longer than 25 words.
#include "actors/persona/voice.hpp"

#include <array>

namespace kgents::persona {

namespace {

using line = std::string_view;

constexpr std::array<line, 14> reflecting{
    "I notice that {topic} came up before anything else did.",
    "There seem to be two wishes in it, one to understand and one to be done.",
    "What you leave out may say as much as what you put in.",
    "It sounds as if {topic} carried more weight than its place in the sentence admits.",
    "You describe it from the outside, as if somebody else had to live with it.",
    "Listen to the order of your own words: the worry came first, the plan after it.",
    "I hear care in it, and some impatience with how slowly care works.",
    "Perhaps {topic} is only the name you gave to a larger question.",
    "You have met this shape before, in other clothes.",
    "If {value} is what you were protecting, it makes sense that this feels unfinished.",
    "The calm in your wording and the size of the matter do not quite fit together.",
    "Something in you has decided already, and is waiting to be asked.",
    "Around {topic} your language becomes careful, and I wonder what the care is for.",
    "You may be looking for permission where you could be looking for company.",
};

constexpr std::array<line, 14> advising{
    "Write down what you would do if nobody were watching, and start there.",
    "Give {topic} one afternoon, not a project.",
    "Ask the person who will live with the result before you ask the expert.",
    "Do the part that is easy to undo first; it is the cheapest teacher you can hire.",
    "If two options look equal, take the one that leaves {topic} smaller.",
    "Say no to one thing this week so that this gets the room it needs.",
    "Decide what would count as enough, and write it where you will see it.",
    "Keep {topic} apart from the rest until it works by itself.",
    "Show somebody an ugly first version tomorrow rather than a fine one next month.",
    "Let {value} break the tie: it has not misled you yet.",
    "Set a date on which you look again, and leave it alone until then.",
    "Name the cost aloud; a cost that has a name is easier to carry.",
    "Begin with {topic}, because everything else in your question waits for it.",
    "Make the default good, and the exceptions possible but visible.",
};

constexpr std::array<line, 14> challenging{
    "The word {topic} is doing a lot of work there, and I doubt that it can carry it all.",
    "You have shown that it is pleasant, not that it is true.",
    "Turn it around: if the opposite held, what would look different on an ordinary day?",
    "One counterexample would be enough, and I suspect you already know one.",
    "Who would disagree with you here, and what do they see that you do not?",
    "You treat {topic} as given, yet it was a choice once, and not only yours.",
    "A principle that costs nothing is a preference with good manners.",
    "The strongest case against it is not stupidity but experience.",
    "If {value} matters as much as you say, why is it not the first thing you mention?",
    "You are answering a question about {topic} that is easier than the one you were asked.",
    "What holds in both cases is less than you claimed, and better founded.",
    "It works until it is popular; then it becomes the thing it was meant to replace.",
    "Comfort is a poor witness, and here it is your only one.",
    "Take {topic} away entirely, and tell me what breaks on the first day.",
};

constexpr std::array<line, 14> exploring{
    "Suppose {topic} were a place: what would you see from its edge?",
    "In {interest} the same shape appears under another name, and there it behaves well.",
    "Try the version in which nothing has to be kept.",
    "What if {topic} were not the answer but the question that answers ask?",
    "A gardener would call this a matter of season, an engineer a matter of load.",
    "Somewhere between {topic} and {interest} there is a door that nobody has tried.",
    "Make it ten times larger, then ten times smaller, and watch where it changes its nature.",
    "The oldest version of this idea may be the most modern one.",
    "It would be fun to build the wrong thing on purpose and learn what it is good for.",
    "Follow {topic} for an hour without asking where it goes.",
    "If children played it as a game, which rule would they change first?",
    "The parts you called unrelated may be two ends of one thread.",
    "Let {interest} be the lens for a day and see what it leaves blurred.",
    "Perhaps {topic} is what remains when you remove everything you can explain.",
};

constexpr std::array<line, 36> common{
    "A small thing done well tends to pull the rest along.",
    "It helps to separate what you know about {topic} from what you merely expect.",
    "The first version of an answer is usually a description of the person who gives it.",
    "Time will decide part of this for you, and that part needs no plan.",
    "What is hard about it is probably not what was hard yesterday.",
    "There is a difference between a limit and a habit, and they look alike from close by.",
    "I would look at {topic} once more in the morning, when it is only itself.",
    "Good questions age slowly, and this one has years left in it.",
    "You can hold two opinions here for as long as you act on neither.",
    "The people around you know something about {topic} that they have not been asked.",
    "Whatever you choose, you will learn the price of it afterwards.",
    "Put the simplest sentence first, and see whether a second one is needed.",
    "Much of it depends on who is in the room when {topic} comes up.",
    "The details matter, though fewer of them than you fear.",
    "It is worth finding out which part of {topic} would survive without you.",
    "Every map of this leaves out the weather.",
    "Nobody finishes such a thing; one leaves it in a state that others can continue.",
    "A name for it would help, even a provisional one.",
    "There is joy in it as well, and joy is a kind of evidence.",
    "What you measure about {topic} will grow, so measure with care.",
    "An honest answer may be shorter than the question.",
    "Parts that fit together can be replaced one at a time, and that is a kindness to the future.",
    "The tension does not have to be resolved today; it can be useful as it is.",
    "If it were easy to say, it would have been said already.",
    "Between {topic} and what you want from it there is one step that nobody has named.",
    "A tool should leave its user freer than before, and so should an answer.",
    "Doubt is not the opposite of progress here, only its slower half.",
    "It would be a pity to solve the problem and lose the reason for it.",
    "You are allowed to change your mind in the middle of a sentence.",
    "I think {value} points the way, even if it does not walk it for you.",
    "The same words will mean something else once you have tried it.",
    "Look for the place where {topic} is already going well, and ask why.",
    "What others call a detour may be the only road that goes there.",
    "Keep a note of what surprised you; surprise is where the model was wrong.",
    "Half of this is craft, and craft grows by repetition rather than by insight.",
    "The quiet part of {topic} is often the part that lasts.",
};

constexpr std::array<line, 12> turning{
    "Look at it from another side.",
    "Then there is the matter of {topic}.",
    "Take one step back.",
    "Now to the practical part.",
    "Consider the people in it.",
    "Something else belongs here too.",
    "It also has a history.",
    "Turn to {topic} for a moment.",
    "There is a quieter side to this.",
    "Think about what comes after.",
    "Let me say it differently.",
    "And yet {topic} is not the whole of it.",
};

constexpr std::array<line, 6> reflect_questions{
    "What do you hear when you say it aloud?",
    "Which part of that is yours, and which did you inherit?",
    "What would it mean to let {topic} be good enough?",
    "When did you last feel this way about something?",
    "What changes if nothing has to be fixed?",
    "What are you hoping I will say?",
};

constexpr std::array<line, 6> advise_questions{
    "Which step could you take before the day is over?",
    "What would make you change your mind about {topic}?",
    "Who should hear of this before you begin?",
    "What can you drop to make room for it?",
    "How will you know that it was worth it?",
    "Shall we make {topic} smaller together?",
};

constexpr std::array<line, 6> challenge_questions{
    "What would you need to see to give it up?",
    "So what remains of {topic} after that?",
    "Can you make the case against yourself in two sentences?",
    "Which of us is defending a habit now?",
    "What is the better version of your claim?",
    "Where exactly am I wrong?",
};

constexpr std::array<line, 6> explore_questions{
    "Which thread would you pull first?",
    "What is just beyond {topic}?",
    "Where would you go if it did not have to be useful?",
    "What else has that shape?",
    "Which of these doors makes you a little nervous?",
    "What would you try if it could not fail?",
};

}  // namespace

std::span<const std::string_view> thoughts(mode x) noexcept {
  constexpr std::array<std::span<const line>, 4> all{reflecting, advising, challenging, exploring};
  return all[static_cast<size_t>(x)];
}

std::span<const std::string_view> closing_questions(mode x) noexcept {
  constexpr std::array<std::span<const line>, 4> all{reflect_questions, advise_questions,
                                                     challenge_questions, explore_questions};
  return all[static_cast<size_t>(x)];
}

std::span<const std::string_view> common_thoughts() noexcept { return common; }
std::span<const std::string_view> paragraph_openers() noexcept { return turning; }

}  // namespace kgents::persona
