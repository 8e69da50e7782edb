# Completion of pointsman in bash. Needs nothing but bash: the package bash-completion loads it,
# `source` does as well.
#
# Names of models are asked of the running gateway (`pointsman models --json`), for a second at
# most; without one they are those of the file, and where that fails there are none.

_pointsman_commands="serve status models switch unload route logs plan check key plugin train eval
top usage client bench stop version"

# The options of a command; those that take a value end in "=".
_pointsman_options() {
    local out="--help"
    case $1 in
        serve) out+=" --models= --routes= --plugins= --listen= --state= --workers="
               out+=" --insecure-listen --config-check" ;;
        status) out+=" --state= --json" ;;
        models) out+=" --state= --json --argv= --models=" ;;
        switch) out+=" --state= --wait" ;;
        unload) out+=" --state=" ;;
        route) out+=" --body= --key= --model= --explain --json --state=" ;;
        logs) out+=" -f --state= --lines=" ;;
        plan) out+=" --ctx= --kv= --slots= --devices= --margin= --json" ;;
        check) out+=" --models= --routes= --plugins= --keys= --state=" ;;
        key) out+=" --targets= --rpm= --tpm= --budget= --priority= --local-only --admin --json"
             out+=" --state= --keys=" ;;
        plugin) out+=" --plugins=" ;;
        train) out+=" --data= --out= --base= --pair= --seed= --json" ;;
        eval) out+=" --data= --policy= --weights= --options= --train= --folds= --leave-out="
              out+=" --by-split --pair= --own= --cap= --seed= --json --plugins= --models="
              out+=" --from-usage --state=" ;;
        top) out+=" --once --state=" ;;
        usage) out+=" --by= --since= --until= --requests= --json --csv --state=" ;;
        client) out+=" --write --yes --model= --key= --url= --home= --state=" ;;
        bench) out+=" --fills= --prompt= --generate= --repeats= --measure= --data= --temperature="
               out+=" --limit= --python= --svg= --models= --url= --key= --fresh --json --state=" ;;
        stop) out+=" --keep --wait --state=" ;;
        *) ;;
    esac
    printf '%s\n' "$out"
}

# Ids of models: `local` those that can be loaded, `all` cloud models as well, `names` what a
# request may ask for.
_pointsman_ids() {
    local program=$1 state=$2 which=$3
    case $program in "~"/*) program=$HOME${program:1} ;; esac
    timeout 1 "$program" models --json ${state:+--state "$state"} 2>/dev/null |
        grep -oE '"(id|kind)":[[:space:]]*"[^"]*"' |
        awk -F'"' -v which="$which" '$2 == "id" { id = $4 }
            $2 == "kind" && (which == "all" || $4 == "local") { print id }'
}

# Candidates for the value of an option, in COMPREPLY; fails where the option is not known.
_pointsman_value() {
    local program=$1 state=$2 option=$3 cur=$4 before=""
    case $option in
        --state | --routes | --plugins | --home) _pointsman_files -d "$cur" ;;
        --models | --body | --keys | --out | --base | --weights | --options)
            _pointsman_files -f "$cur" ;;
        --data | --train)
            [[ $cur != *,* ]] || before=${cur%,*},
            _pointsman_files -f "${cur#"$before"}"
            COMPREPLY=("${COMPREPLY[@]/#/$before}") ;;
        --targets | --pair)
            [[ $cur != *,* ]] || before=${cur%,*},
            COMPREPLY=($(compgen -P "$before" -W "$(_pointsman_ids "$program" "$state" all)" \
                -- "${cur#"$before"}")) ;;
        --policy)
            [[ $cur != *,* ]] || before=${cur%,*},
            COMPREPLY=($(compgen -P "$before" \
                -W "capability complexity escalate learned regex stage" \
                -- "${cur#"$before"}")) ;;
        --argv) COMPREPLY=($(compgen -W "$(_pointsman_ids "$program" "$state" local)" -- "$cur")) ;;
        --model)
            COMPREPLY=($(compgen -W "auto $(_pointsman_ids "$program" "$state" all)" -- "$cur")) ;;
        --by)
            COMPREPLY=($(compgen -W "day hour route target key model status outcome intent" \
                -- "$cur")) ;;
        --since) COMPREPLY=($(compgen -W "1h 24h 7d 30d" -- "$cur")) ;;
        --priority) COMPREPLY=($(compgen -W "high normal low" -- "$cur")) ;;
        --kv) COMPREPLY=($(compgen -W "f16 bf16 f32 q8_0 q5_1 q5_0 q4_1 q4_0 iq4_nl" -- "$cur")) ;;
        --leave-out) COMPREPLY=($(compgen -W "source" -- "$cur")) ;;
        *) COMPREPLY=() ;;
    esac
}

# Files (-f) or folders (-d), with blanks in their names.
_pointsman_files() {
    local IFS=$'\n' text=$2
    compopt -o filenames 2>/dev/null
    case $text in "~"/*) text=$HOME${text:1} ;; esac
    COMPREPLY=($(compgen "$1" -- "$text"))
}

# What may stand as the nth word of a command, options not counted.
_pointsman_word() {
    local program=$1 state=$2 command=$3 n=$4 cur=$5
    case $command:$n in
        switch:1 | unload:1 | logs:1)
            COMPREPLY=($(compgen -W "$(_pointsman_ids "$program" "$state" local)" -- "$cur")) ;;
        plan:1) _pointsman_files -f "$cur" ;;
        key:1) COMPREPLY=($(compgen -W "add list revoke" -- "$cur")) ;;
        plugin:1) COMPREPLY=($(compgen -W "new check list" -- "$cur")) ;;
        plugin:2) _pointsman_files -f "$cur" ;;
        bench:1) COMPREPLY=($(compgen -W "speed sweep code compare report" -- "$cur")) ;;
        client:1) COMPREPLY=($(compgen -W "claude-code codex aider continue opencode openclaw
            qwen-code openai-sdk anthropic-sdk" -- "$cur")) ;;
        *) COMPREPLY=() ;;
    esac
}

# Bash replaces only what follows the last = or : of a word (COMP_WORDBREAKS), so candidates begin
# there.
_pointsman_trim() {
    local option=$1 cur=$2 cut="" i
    [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/$option}")
    [[ $cur != *:* || $COMP_WORDBREAKS != *:* ]] || cut=${cur%"${cur##*:}"}
    for i in "${!COMPREPLY[@]}"; do
        COMPREPLY[i]=${COMPREPLY[i]#"$cut"}
    done
}

_pointsman() {
    local line=${COMP_LINE:0:COMP_POINT} words cur command="" state="" options="" n=0 i word
    local want="" glued=""
    COMPREPLY=()
    # Split here, since bash has cut the words at = and : already; a backslash keeps a blank in its
    # word. shellcheck disable=SC2162
    read -a words <<<"$line"
    [[ $line != *[[:space:]] || $line == *\\[[:space:]] ]] || words+=("")
    local last=$((${#words[@]} - 1)) program=${words[0]}
    cur=${words[last]}
    for ((i = 1; i < last; i++)); do
        word=${words[i]}
        if [ -n "$want" ]; then
            [ "$want" != --state ] || state=$word
            want=""
        elif [ -z "$command" ]; then
            command=$word
            options=" $(_pointsman_options "$command") "
        elif [[ $word == --state=* ]]; then
            state=${word#*=}
        elif [[ $word == -* && $options == *" $word= "* ]]; then
            want=$word
        elif [[ $word != -* ]]; then
            n=$((n + 1))
        fi
    done
    if [[ -n $command && -z $want && $cur == --*=* ]]; then
        glued=${cur%%=*}=
        want=${cur%%=*}
        cur=${cur#*=}
    fi
    if [ -n "$want" ]; then
        _pointsman_value "$program" "$state" "$want" "$cur"
    elif [ -z "$command" ]; then
        COMPREPLY=($(compgen -W "$_pointsman_commands --help" -- "$cur"))
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "${options//=/}" -- "$cur"))
    else
        _pointsman_word "$program" "$state" "$command" $((n + 1)) "$cur"
    fi
    _pointsman_trim "$glued" "$cur"
}

complete -F _pointsman pointsman
