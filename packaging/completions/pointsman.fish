# Completion of pointsman in fish. Names of models are asked of the running gateway, quietly.

function __pointsman_ids --argument-names which
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l state
    for i in (seq (count $words))
        if string match -q -- '--state=*' $words[$i]
            set state --state (string replace -- '--state=' '' $words[$i])
        else if test "$words[$i]" = --state; and set -q words[(math $i + 1)]
            set state --state $words[(math $i + 1)]
        end
    end
    timeout 1 $words[1] models --json $state 2>/dev/null |
        string match -ra '"(id|kind)":\s*"([^"]*)"' -g |
        while read -l key
            read -l value
            if test $key = id
                set id $value
            else if test "$which" = all; or test $value = local
                echo $id
            end
        end
end

# A list with commas: what is there already, and each that may follow.
function __pointsman_list
    set -l token (commandline --current-token)
    set -l given (string match -r -- '^(?:--[a-z-]+=)?(.*,)?[^,]*$' $token)[2]
    for word in $argv
        echo $given$word
    end
end

# In the first words after the command COMMAND: as many as N, options not counted.
function __pointsman_at --argument-names command n
    set -l seen 0
    set -l name
    set -l skip 0
    for word in (commandline --tokenize --cut-at-cursor --current-process)[2..-1]
        if test $skip = 1
            set skip 0
        else if test -z "$name"
            set name $word
        else if contains -- $word --state --lines --keys --targets --rpm --tpm --budget --priority \
                --url --plugins --model --key --home
            set skip 1
        else if not string match -q -- '-*' $word
            set seen (math $seen + 1)
        end
    end
    test "$name" = $command; and test $seen = $n; and test $skip = 0
end

complete -c pointsman -f
complete -c pointsman -l help -d 'tell more'

set -l commands serve status models switch unload route logs plan check key plugin train eval top \
    usage client bench stop version
set -l none "not __fish_seen_subcommand_from $commands"
complete -c pointsman -n $none -a serve -d 'run the gateway'
complete -c pointsman -n $none -a status -d 'what runs, and how it is'
complete -c pointsman -n $none -a models -d 'profiles and cloud models'
complete -c pointsman -n $none -a switch -d 'load a profile'
complete -c pointsman -n $none -a unload -d 'unload a profile, or all'
complete -c pointsman -n $none -a route -d 'what would be decided for a request, and why'
complete -c pointsman -n $none -a logs -d 'the last lines of the model servers'
complete -c pointsman -n $none -a plan -d 'where a model would go on the devices of this machine'
complete -c pointsman -n $none -a check -d 'what is wrong with the configuration'
complete -c pointsman -n $none -a key -d 'who may use what'
complete -c pointsman -n $none -a plugin -d 'make, check and list policies'
complete -c pointsman -n $none -a train -d 'weights for the policy learned'
complete -c pointsman -n $none -a eval -d 'how good policies are on labelled rows'
complete -c pointsman -n $none -a top -d 'what happens, in the terminal'
complete -c pointsman -n $none -a usage -d 'what was used: requests, tokens, cost'
complete -c pointsman -n $none -a client -d 'set up an agent'
complete -c pointsman -n $none -a bench -d 'measure models'
complete -c pointsman -n $none -a stop -d 'stop the running gateway'
complete -c pointsman -n $none -a version -d 'print the version'

# Words after the command.
for command in switch unload logs
    complete -c pointsman -n "__pointsman_at $command 0" -a '(__pointsman_ids local)' -d profile
end
complete -c pointsman -n '__pointsman_at plan 0' -F
complete -c pointsman -n '__pointsman_at key 0' -a 'add list revoke'
complete -c pointsman -n '__pointsman_at plugin 0' -a 'new check list'
complete -c pointsman -n '__pointsman_at plugin 1' -F
complete -c pointsman -n '__pointsman_at bench 0' -a 'speed sweep code compare report'
set -l agents claude-code codex aider continue opencode openclaw qwen-code openai-sdk anthropic-sdk
complete -c pointsman -n '__pointsman_at client 0' -a "$agents"

# Options: of which commands, kind (switch, any value, file, or candidates), name, what it is.
function __pointsman_option --argument-names commands kind name text
    set -l how -c pointsman -n "__fish_seen_subcommand_from $commands" -l $name -d $text
    switch $kind
        case switch
            complete $how
        case value
            complete $how -x
        case file
            complete $how -r -F
        case '*'
            complete $how -x -a $kind
    end
end

__pointsman_option \
    'serve status models switch unload route logs check key top usage client eval bench stop' \
    file state 'state folder'
__pointsman_option 'status models route plan key train eval usage bench' switch json \
    'one document for programs'
__pointsman_option 'serve models check eval bench' file models models.conf
__pointsman_option 'serve check' file routes 'folder of routes'
__pointsman_option 'serve check plugin eval' file plugins 'folder of policies'
__pointsman_option 'check key' file keys 'keys file'
__pointsman_option serve value listen HOST:PORT
__pointsman_option serve value workers 'worker processes'
__pointsman_option serve switch insecure-listen 'allow an address that others can reach'
__pointsman_option serve switch config-check 'check, then end'
__pointsman_option models '(__pointsman_ids local)' argv 'command line of a profile'
__pointsman_option switch switch wait 'until it is ready or has failed'
__pointsman_option route file body 'a request body'
__pointsman_option 'route client' 'auto (__pointsman_ids all)' model 'the model to ask for'
__pointsman_option route switch explain 'in sentences, too'
__pointsman_option logs value lines 'how many of the last'
complete -c pointsman -n '__fish_seen_subcommand_from logs' -s f -d follow
__pointsman_option plan value ctx 'tokens of context'
__pointsman_option plan 'f16 bf16 f32 q8_0 q5_1 q5_0 q4_1 q4_0 iq4_nl' kv 'type of the KV cache'
__pointsman_option plan value slots 'requests at a time'
__pointsman_option plan value devices 'MiB of each device'
__pointsman_option plan value margin 'MiB to leave free on each'
__pointsman_option key '(__pointsman_list (__pointsman_ids all))' targets 'these models only'
__pointsman_option key value rpm 'requests a minute'
__pointsman_option key value tpm 'tokens a minute'
__pointsman_option key value budget 'money a month'
__pointsman_option key 'high normal low' priority class
__pointsman_option key switch local-only 'nothing leaves this machine'
__pointsman_option key switch admin 'may load and unload, see logs and metrics'
__pointsman_option 'train eval bench' file data 'labelled rows, or tasks'
__pointsman_option 'train eval' '(__pointsman_list (__pointsman_ids all))' pair \
    'the targets that weak and strong are'
__pointsman_option 'train eval' value seed 'of all that is random'
__pointsman_option train file out 'file to write'
__pointsman_option train file base 'weights to begin with'
__pointsman_option eval '(__pointsman_list capability complexity escalate learned regex stage)' \
    policy 'the chain'
__pointsman_option eval file weights 'weights for the policy learned'
__pointsman_option eval file options 'a file with policy sections'
__pointsman_option eval file train 'rows to learn from first'
__pointsman_option eval value folds cross-validate
__pointsman_option eval source leave-out 'judge the sources one by one'
__pointsman_option eval switch from-usage 'on the requests that were recorded'
__pointsman_option eval switch by-split 'by the split of the rows'
__pointsman_option eval value own 'rows that are learnt from instead'
__pointsman_option eval value cap 'most rows of a source'
__pointsman_option top switch once 'print once, and end'
__pointsman_option usage 'day hour route target key model status outcome intent' \
    by 'what to add up by'
__pointsman_option usage '1h 24h 7d 30d' since 'from when'
__pointsman_option usage value requests 'the last requests instead of sums'
__pointsman_option usage value until 'until when'
__pointsman_option usage switch csv 'rows for spreadsheets'
__pointsman_option client switch write "put it into the client's own files"
__pointsman_option client switch yes 'without asking'
__pointsman_option 'client bench route' value key 'the key to use'
__pointsman_option 'client bench' value url 'the address of the gateway'
__pointsman_option client file home "the folder with the client's files"
__pointsman_option bench value fills 'tokens in the context before'
__pointsman_option bench value prompt 'tokens to read'
__pointsman_option bench value generate 'tokens to write'
__pointsman_option bench value repeats 'of each'
__pointsman_option bench 'speed code' measure 'what sweep measures'
__pointsman_option bench value temperature 'of the answers'
__pointsman_option bench value limit 'only the first tasks'
__pointsman_option bench file python 'one that has evalplus'
__pointsman_option bench file svg 'a chart into this file'
__pointsman_option bench switch fresh 'begin anew'
__pointsman_option stop switch keep 'leave the model servers running'
__pointsman_option stop switch wait 'until it has ended'
