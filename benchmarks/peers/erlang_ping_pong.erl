%% Round trips between two Erlang processes.
%%
%%     escript erlang_ping_pong.erl processes CAPACITY hot WARMUP BATCHES BATCH PLACE
%%     escript erlang_ping_pong.erl processes CAPACITY parked WARMUP COUNT PAUSE_US HOLD_US PLACE
%%
%% CAPACITY and PLACE are ignored.  Prints microseconds, a line for each batch
%% (the mean of its round trips) or each round trip; measure/loops.py says what
%% exactly is measured.  The scheduler decides which threads the two run on.

-mode(compile).

main(["processes", _Capacity, Mode | Numbers]) ->
    run(Mode, [list_to_integer(Number) || Number <- Numbers]).

run("hot", [Warmup, Batches, Batch, _Place]) ->
    Echo = spawn_link(fun() -> echo((Warmup + Batches) * Batch) end),
    Durations = [batch(Echo, Batch) || _ <- lists:seq(1, Warmup + Batches)],
    show([Duration / 1000 / Batch || Duration <- lists:nthtail(Warmup, Durations)]);
run("parked", [Warmup, Count, PauseUs, HoldUs, _Place]) ->
    Echo = spawn_link(fun() -> echo_parked(Warmup + Count, HoldUs div 1000) end),
    Trips = [parked_trip(Echo, PauseUs div 1000) || _ <- lists:seq(1, Warmup + Count)],
    show([(Duration - Held) / 1000 || {Duration, Held} <- lists:nthtail(Warmup, Trips)]).

now_ns() -> erlang:monotonic_time(nanosecond).

show(Samples) -> [io:format("~.4f~n", [Sample]) || Sample <- Samples].

echo(0) -> ok;
echo(Count) ->
    receive {From, Message} -> From ! Message end,
    echo(Count - 1).

%% The message goes back first; how long it was held follows, outside the
%% measured time.
echo_parked(0, _) -> ok;
echo_parked(Count, Hold) ->
    receive {From, Message} ->
        Start = now_ns(),
        case Hold of 0 -> ok; _ -> timer:sleep(Hold) end,
        Held = now_ns() - Start,
        From ! Message,
        From ! {held, Held}
    end,
    echo_parked(Count - 1, Hold).

batch(Echo, Batch) ->
    Start = now_ns(),
    trips(Echo, Batch),
    now_ns() - Start.

trips(_, 0) -> ok;
trips(Echo, Number) ->
    Echo ! {self(), Number},
    receive Number -> ok end,
    trips(Echo, Number - 1).

parked_trip(Echo, Pause) ->
    timer:sleep(Pause),
    Start = now_ns(),
    Echo ! {self(), 1},
    receive 1 -> ok end,
    Duration = now_ns() - Start,
    receive {held, Held} -> {Duration, Held} end.
