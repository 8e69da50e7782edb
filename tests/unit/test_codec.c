/* Requests put into another protocol's words: a table for each pair. In the texts ' stands for a quote, ` for one with
 * its backslash, so that they can be read. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/api/translate.h"

struct row {
    const char *name, *in, *out; /* `out` NULL: refused */
    const char *word;            /* the fields that are left out; of a refusal the words that it has */
};

static char *unquoted(const char *text)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    for (; *text; text++)
        pm_buf_add(&out, *text == '\'' ? "\"" : *text == '`' ? "\\\"" : (char[]){*text, 0});
    return pm_buf_take(&out);
}

static char *joined(const struct pm_strv *list)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    for (size_t i = 0; i < list->n; i++)
        pm_buf_addf(&out, "%s%s", i ? ", " : "", list->items[i]);
    return pm_buf_take(&out);
}

/* What every body for a target says; the rows leave it out. */
static void take_common(cJSON *body, enum pm_protocol to, const char *row)
{
    const char *model = pm_json_str(body, "model");
    expect(model && strcmp(model, "target") == 0, "%s: the model is %s\n", row, model ? model : "missing");
    expect(pm_json_true(body, "stream"), "%s: no stream is asked for\n", row);
    if (to == PM_PROTO_CHAT)
        expect(pm_json_true(pm_json_get(body, "stream_options"), "include_usage"), "%s: no usage\n", row);
    if (to == PM_PROTO_RESPONSES)
        expect(cJSON_IsFalse(pm_json_get(body, "store")), "%s: the answer would be stored\n", row);
    cJSON_DeleteItemFromObjectCaseSensitive(body, "model");
    cJSON_DeleteItemFromObjectCaseSensitive(body, "stream");
    cJSON_DeleteItemFromObjectCaseSensitive(body, "stream_options");
    cJSON_DeleteItemFromObjectCaseSensitive(body, "store");
}

static void check_body(const struct row *row, enum pm_protocol to, const char *text, const struct pm_canon *c)
{
    char *wanted_text = unquoted(row->out), *dropped = joined(&c->dropped);
    cJSON *wanted = cJSON_Parse(wanted_text), *body = cJSON_Parse(text);
    expect(wanted, "%s: the row is no JSON: %s\n", row->name, wanted_text);
    expect(body, "%s: no JSON: %s\n", row->name, text);
    take_common(body, to, row->name);
    expect(cJSON_Compare(wanted, body, true), "%s:\n%s\nis wanted, but\n%s\n", row->name, wanted_text, text);
    expect(strcmp(dropped, row->word) == 0, "%s: left out is %s, not %s\n", row->name, dropped, row->word);
    cJSON_Delete(wanted);
    cJSON_Delete(body);
    free(wanted_text);
    free(dropped);
}

static const struct pm_codec_target llama = {.model = "target", .reasoning = true, .is_llama = true};

static void check_row(const struct row *row, enum pm_protocol from, enum pm_protocol to,
                      const struct pm_codec_target *t)
{
    struct pm_api_request r;
    struct pm_error err = {0};
    struct pm_canon *c;
    struct pm_buf out;
    char *in = unquoted(row->in);
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    expect(pm_api_read(from, in, strlen(in), &r, &err) == PM_OK, "%s: not read: %s\n", row->name, err.msg);
    int rc = pm_translate_request(&r, to, t, &out, &c, &err);
    expect(rc == PM_OK || !row->out, "%s: refused: %s\n", row->name, err.msg);
    expect(rc < 0 || row->out, "%s: not refused, but\n%s\n", row->name, out.data);
    if (row->out)
        check_body(row, to, out.data, c);
    else
        expect(strcmp(err.msg, row->word) == 0, "%s: the error is %s\n", row->name, err.msg);
    pm_canon_free(c);
    pm_buf_release(&out);
    pm_api_request_release(&r);
    free(in);
}

static void check(const struct row *rows, size_t n, enum pm_protocol from, enum pm_protocol to)
{
    for (size_t i = 0; i < n; i++)
        check_row(&rows[i], from, to, &llama);
}

static const struct row chat_to_messages_rows[] = {
    {"system texts are one",
     "{'messages':[{'role':'system','content':'one'},{'role':'user','content':'u'},{"
     "'role':'developer','content':[{'type':'text','text':'two'},{'type':'text',"
     "'text':'three'}]}]}",
     "{'system':'one\\n\\ntwo\\n\\nthree','messages':[{'role':'user','content':[{'type':'text',"
     "'text':'u'}]}],'max_tokens':32000}",
     ""},
    {"calls, their results out of order",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'{"
     "`a`:1}'}},{'id':'c2','type':'function','function':{'name':'g','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'c2','content':'two'},{'role':'tool','tool_call_id':'c1',"
     "'content':'one'},{'role':'user','content':'go'}],'tools':[{'type':'function','function':{"
     "'name':'f','parameters':{'type':'object','properties':{'a':{'type':'integer'}}},"
     "'description':'does'}}],'tool_choice':'auto','parallel_tool_calls':false}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'c1','name':'f','input':{'a':1}},{'type':'tool_use',"
     "'id':'c2','name':'g','input':{}}]},{'role':'user','content':[{'type':'tool_result',"
     "'tool_use_id':'c1','content':[{'type':'text','text':'one'}]},{'type':'tool_result',"
     "'tool_use_id':'c2','content':[{'type':'text','text':'two'}]},{'type':'text',"
     "'text':'go'}]}],'tools':[{'name':'f','description':'does','input_schema':{"
     "'type':'object','properties':{'a':{'type':'integer'}}}}],'tool_choice':{'type':'auto',"
     "'disable_parallel_tool_use':true},'max_tokens':32000}",
     ""},
    {"a result is missing, one is nobody's",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':'so',"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'c9','content':'orphan'}]}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]},{'role':'assistant',"
     "'content':[{'type':'text','text':'so'},{'type':'tool_use','id':'c1','name':'f','input':{"
     "}}]},{'role':'user','content':[{'type':'tool_result','tool_use_id':'c1','is_error':true,"
     "'content':[{'type':'text','text':'no result was recorded'}]},{'type':'text',"
     "'text':'orphan'}]}],'max_tokens':32000}",
     ""},
    {"an image in a result",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'c1','content':[{'type':'text','text':'see'},{"
     "'type':'image_url','image_url':{'url':'data:image/png;base64,AA'}}]}]}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'c1','name':'f','input':{}}]},{'role':'user',"
     "'content':[{'type':'tool_result','tool_use_id':'c1','content':[{'type':'text',"
     "'text':'see'},{'type':'image','source':{'type':'base64','media_type':'image/png',"
     "'data':'AA'}}]}]}],'max_tokens':32000}",
     ""},
    {"names and ids that targets refuse",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'id.1','type':'function','function':{'name':'my tool','arguments':'{"
     "}'}}]},{'role':'tool','tool_call_id':'id.1','content':'r'}],'tools':[{'type':'function',"
     "'function':{'name':'my tool'}},{'type':'function','function':{"
     "'name':'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'}}],"
     "'tool_choice':{'type':'function','function':{'name':'my tool'}}}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'id_1_a6039d50','name':'my_tool_ba4eb454','input':{"
     "}}]},{'role':'user','content':[{'type':'tool_result','tool_use_id':'id_1_a6039d50',"
     "'content':[{'type':'text','text':'r'}]}]}],'tools':[{'name':'my_tool_ba4eb454',"
     "'input_schema':{'type':'object','properties':{}}},{"
     "'name':'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_c07d9e28',"
     "'input_schema':{'type':'object','properties':{}}}],'tool_choice':{'type':'tool',"
     "'name':'my_tool_ba4eb454'},'max_tokens':32000}",
     ""},
    {"effort, sampling",
     "{'messages':[{'role':'user','content':'u'}],'reasoning_effort':'high','temperature':1.5,"
     "'top_p':0.5,'top_k':3,'seed':4,'presence_penalty':0.1,'max_completion_tokens':2000,"
     "'user':'me','metadata':{'a':'b'}}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]}],'thinking':{"
     "'type':'enabled','budget_tokens':4096},'max_tokens':6096,'metadata':{'user_id':'me'}}",
     "metadata, temperature, top_p, top_k, seed, presence_penalty"},
    {"a schema",
     "{'messages':[{'role':'user','content':'u'}],'response_format':{'type':'json_schema',"
     "'json_schema':{'name':'n','strict':true,'schema':{'type':'object','properties':{'a':{"
     "'type':'integer'}}}}}}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]}],'max_tokens':32000,"
     "'output_config':{'format':{'type':'json_schema','schema':{'type':'object','properties':{"
     "'a':{'type':'integer'}},'additionalProperties':false}}}}",
     ""},
    {"stop sequences", "{'messages':[{'role':'user','content':'u'}],'stop':'END'}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]}],'max_tokens':32000,"
     "'stop_sequences':['END']}",
     ""},
    {"several answers", "{'messages':[{'role':'user','content':'u'}],'n':2}", NULL,
     "`n` cannot be said in the protocol of this target"},
    {"arguments that are no object",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'[1]'}},{"
     "'id':'c2','type':'function','function':{'name':'f','arguments':'oops'}}]},{'role':'tool',"
     "'tool_call_id':'c1','content':'r'},{'role':'tool','tool_call_id':'c2','content':'r'}]}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'c1','name':'f','input':{'input':'[1]'}},{"
     "'type':'tool_use','id':'c2','name':'f','input':{'input':'oops'}}]},{'role':'user',"
     "'content':[{'type':'tool_result','tool_use_id':'c1','content':[{'type':'text',"
     "'text':'r'}]},{'type':'tool_result','tool_use_id':'c2','content':[{'type':'text',"
     "'text':'r'}]}]}],'max_tokens':32000}",
     ""},
    {"a document, sound",
     "{'messages':[{'role':'user','content':[{'type':'input_audio','input_audio':{'data':'AA',"
     "'format':'wav'}}]}]}",
     NULL, "`messages[0].content[0]`: audio cannot be said in the messages API"},
};

static const struct row chat_to_responses_rows[] = {
    {"system texts are one",
     "{'messages':[{'role':'system','content':'one'},{'role':'user','content':'u'},{"
     "'role':'developer','content':[{'type':'text','text':'two'},{'type':'text',"
     "'text':'three'}]}]}",
     "{'instructions':'one\\n\\ntwo\\n\\nthree','input':[{'type':'message','role':'user',"
     "'content':[{'type':'input_text','text':'u'}]}]}",
     ""},
    {"calls, their results out of order",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'{"
     "`a`:1}'}},{'id':'c2','type':'function','function':{'name':'g','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'c2','content':'two'},{'role':'tool','tool_call_id':'c1',"
     "'content':'one'},{'role':'user','content':'go'}],'tools':[{'type':'function','function':{"
     "'name':'f','parameters':{'type':'object','properties':{'a':{'type':'integer'}}},"
     "'description':'does'}}],'tool_choice':'auto','parallel_tool_calls':false}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]},{"
     "'type':'function_call','call_id':'c1','name':'f','arguments':'{`a`:1}'},{"
     "'type':'function_call','call_id':'c2','name':'g','arguments':'{}'},{"
     "'type':'function_call_output','call_id':'c1','output':'one'},{"
     "'type':'function_call_output','call_id':'c2','output':'two'},{'type':'message',"
     "'role':'user','content':[{'type':'input_text','text':'go'}]}],'tools':[{"
     "'type':'function','name':'f','description':'does','parameters':{'type':'object',"
     "'properties':{'a':{'type':'integer'}}},'strict':false}],'tool_choice':'auto',"
     "'parallel_tool_calls':false}",
     ""},
    {"a result is missing, one is nobody's",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':'so',"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'c9','content':'orphan'}]}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]},{"
     "'type':'message','role':'assistant','content':[{'type':'output_text','text':'so',"
     "'annotations':[]}]},{'type':'function_call','call_id':'c1','name':'f','arguments':'{}'},{"
     "'type':'function_call_output','call_id':'c1','output':'Error: no result was recorded'},{"
     "'type':'message','role':'user','content':[{'type':'input_text','text':'orphan'}]}]}",
     ""},
    {"an image in a result",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'c1','content':[{'type':'text','text':'see'},{"
     "'type':'image_url','image_url':{'url':'data:image/png;base64,AA'}}]}]}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]},{"
     "'type':'function_call','call_id':'c1','name':'f','arguments':'{}'},{"
     "'type':'function_call_output','call_id':'c1','output':[{'type':'input_text',"
     "'text':'see'},{'type':'input_image','image_url':'data:image/png;base64,AA',"
     "'detail':'auto'}]}]}",
     ""},
    {"names and ids that targets refuse",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'id.1','type':'function','function':{'name':'my tool','arguments':'{"
     "}'}}]},{'role':'tool','tool_call_id':'id.1','content':'r'}],'tools':[{'type':'function',"
     "'function':{'name':'my tool'}},{'type':'function','function':{"
     "'name':'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'}}],"
     "'tool_choice':{'type':'function','function':{'name':'my tool'}}}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]},{"
     "'type':'function_call','call_id':'id_1_a6039d50','name':'my_tool_ba4eb454','arguments':'{"
     "}'},{'type':'function_call_output','call_id':'id_1_a6039d50','output':'r'}],'tools':[{"
     "'type':'function','name':'my_tool_ba4eb454','parameters':{'type':'object','properties':{"
     "}},'strict':false},{'type':'function','name':'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
     "xxxxxxxxxxxx_c07d9e28','parameters':{'type':'object','properties':{}},'strict':false}],"
     "'tool_choice':{'type':'function','name':'my_tool_ba4eb454'}}",
     ""},
    {"effort, sampling",
     "{'messages':[{'role':'user','content':'u'}],'reasoning_effort':'high','temperature':1.5,"
     "'top_p':0.5,'top_k':3,'seed':4,'presence_penalty':0.1,'max_completion_tokens':2000,"
     "'user':'me','metadata':{'a':'b'}}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]}],"
     "'max_output_tokens':2000,'temperature':1.5,'top_p':0.5,'reasoning':{'effort':'high'},"
     "'user':'me'}",
     "metadata, top_k, seed, presence_penalty"},
    {"a schema",
     "{'messages':[{'role':'user','content':'u'}],'response_format':{'type':'json_schema',"
     "'json_schema':{'name':'n','strict':true,'schema':{'type':'object','properties':{'a':{"
     "'type':'integer'}}}}}}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]}],"
     "'text':{'format':{'type':'json_schema','name':'n','schema':{'type':'object',"
     "'properties':{'a':{'type':'integer'}}},'strict':true}}}",
     ""},
    {"stop sequences", "{'messages':[{'role':'user','content':'u'}],'stop':'END'}", NULL,
     "`stop`: stop sequences cannot be said in the responses API"},
    {"several answers", "{'messages':[{'role':'user','content':'u'}],'n':2}", NULL,
     "`n` cannot be said in the protocol of this target"},
    {"arguments that are no object",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'[1]'}},{"
     "'id':'c2','type':'function','function':{'name':'f','arguments':'oops'}}]},{'role':'tool',"
     "'tool_call_id':'c1','content':'r'},{'role':'tool','tool_call_id':'c2','content':'r'}]}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]},{"
     "'type':'function_call','call_id':'c1','name':'f','arguments':'[1]'},{"
     "'type':'function_call','call_id':'c2','name':'f','arguments':'oops'},{"
     "'type':'function_call_output','call_id':'c1','output':'r'},{"
     "'type':'function_call_output','call_id':'c2','output':'r'}]}",
     ""},
};

static const struct row messages_to_chat_rows[] = {
    {"system blocks, Claude Code's first line",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'}],'system':[{'type':'text',"
     "'text':'x-anthropic-billing-header: v=1; cch=9;'},{'type':'text','text':'one',"
     "'cache_control':{'type':'ephemeral'}},{'type':'text','text':'two'}]}",
     "{'messages':[{'role':'system','content':'one\\n\\ntwo'},{'role':'user','content':'u'}],"
     "'max_tokens':50}",
     "cache_control"},
    {"calls, their results out of order",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'},{'role':'assistant',"
     "'content':[{'type':'text','text':'so'},{'type':'tool_use','id':'t1','name':'f','input':{"
     "'a':1}},{'type':'tool_use','id':'t2','name':'g','input':{}}]},{'role':'user','content':[{"
     "'type':'tool_result','tool_use_id':'t2','content':'two','is_error':true},{"
     "'type':'tool_result','tool_use_id':'t1','content':[{'type':'text','text':'one'},{"
     "'type':'text','text':'more'}]},{'type':'text','text':'and'}]}],'tools':[{'name':'f',"
     "'description':'does','input_schema':{'type':'object','properties':{'a':{"
     "'type':'integer'}}}},{'type':'web_search_20250305','name':'web_search'}],'tool_choice':{"
     "'type':'any','disable_parallel_tool_use':true}}",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':'so',"
     "'tool_calls':[{'id':'t1','type':'function','function':{'name':'f','arguments':'{"
     "`a`:1}'}},{'id':'t2','type':'function','function':{'name':'g','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'t1','content':'one\\nmore'},{'role':'tool',"
     "'tool_call_id':'t2','content':'Error: two'},{'role':'user','content':'and'}],'tools':[{"
     "'type':'function','function':{'name':'f','description':'does','parameters':{"
     "'type':'object','properties':{'a':{'type':'integer'}}}}}],'tool_choice':'required',"
     "'parallel_tool_calls':false,'max_tokens':50}",
     "tools.web_search"},
    {"a result is missing, one is nobody's",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'t1','name':'f','input':{}}]},{'role':'user',"
     "'content':[{'type':'text','text':'next'},{'type':'tool_result','tool_use_id':'t9',"
     "'content':'orphan'}]}]}",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'t1','type':'function','function':{'name':'f','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'t1','content':'Error: no result was recorded'},{"
     "'role':'user','content':'next\\norphan'}],'max_tokens':50}",
     ""},
    {"an image in a result",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'t1','name':'f','input':{}}]},{'role':'user',"
     "'content':[{'type':'tool_result','tool_use_id':'t1','content':[{'type':'text',"
     "'text':'see'},{'type':'image','source':{'type':'base64','media_type':'image/png',"
     "'data':'AA'}}]}]}]}",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'t1','type':'function','function':{'name':'f','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'t1','content':'see'},{'role':'user','content':[{"
     "'type':'text','text':'Attached to the result of tool call t1:'},{'type':'image_url',"
     "'image_url':{'url':'data:image/png;base64,AA'}}]}],'max_tokens':50}",
     ""},
    {"names that targets refuse",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'}],'tools':[{'name':'a.b',"
     "'input_schema':{'type':'object','properties':{'a':{'type':'integer'}}}}],'tool_choice':{"
     "'type':'tool','name':'a.b'}}",
     "{'messages':[{'role':'user','content':'u'}],'tools':[{'type':'function','function':{"
     "'name':'a_b_e27bcb35','parameters':{'type':'object','properties':{'a':{"
     "'type':'integer'}}}}}],'tool_choice':{'type':'function','function':{"
     "'name':'a_b_e27bcb35'}},'max_tokens':50}",
     ""},
    {"thoughts and a budget",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'},{'role':'assistant',"
     "'content':[{'type':'thinking','thinking':'hm','signature':'s'},{"
     "'type':'redacted_thinking','data':'x'},{'type':'text','text':'a'}]},{'role':'user',"
     "'content':[{'type':'text','text':'b'}]}],'thinking':{'type':'enabled',"
     "'budget_tokens':2048},'top_k':3,'temperature':0.5,'metadata':{'user_id':'me'},"
     "'service_tier':'auto'}",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':'a',"
     "'reasoning_content':'hm'},{'role':'user','content':'b'}],'max_tokens':50,"
     "'temperature':0.5,'top_k':3,'reasoning_effort':'medium','user':'me'}",
     "service_tier, thinking"},
    {"a schema, effort",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'}],'thinking':{"
     "'type':'adaptive'},'output_config':{'effort':'low','format':{'type':'json_schema',"
     "'schema':{'type':'object','properties':{'a':{'type':'integer'}}}}}}",
     "{'messages':[{'role':'user','content':'u'}],'max_tokens':50,'response_format':{"
     "'type':'json_schema','json_schema':{'name':'answer','schema':{'type':'object',"
     "'properties':{'a':{'type':'integer'}}}}},'reasoning_effort':'low'}",
     ""},
    {"stop sequences", "{'max_tokens':50,'messages':[{'role':'user','content':'u'}],'stop_sequences':['a','b']}",
     "{'messages':[{'role':'user','content':'u'}],'max_tokens':50,'stop':['a','b']}", ""},
    {"documents",
     "{'max_tokens':50,'messages':[{'role':'user','content':[{'type':'document',"
     "'title':'d.pdf','source':{'type':'base64','media_type':'application/pdf','data':'AA'}},{"
     "'type':'document','source':{'type':'url','url':'https://x/y'}}]}]}",
     NULL, "`messages[0].content[1]`: a document by its address cannot be said in chat completions: send its data"},
    {"a file of the provider",
     "{'max_tokens':50,'messages':[{'role':'user','content':[{'type':'image','source':{"
     "'type':'file','file_id':'f'}}]}]}",
     NULL, "`messages[0].content[0].source`: a source of type file is not known to another provider"},
};

static const struct row messages_to_responses_rows[] = {
    {"system blocks, Claude Code's first line",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'}],'system':[{'type':'text',"
     "'text':'x-anthropic-billing-header: v=1; cch=9;'},{'type':'text','text':'one',"
     "'cache_control':{'type':'ephemeral'}},{'type':'text','text':'two'}]}",
     "{'instructions':'one\\n\\ntwo','input':[{'type':'message','role':'user','content':[{"
     "'type':'input_text','text':'u'}]}],'max_output_tokens':50}",
     "cache_control"},
    {"calls, their results out of order",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'},{'role':'assistant',"
     "'content':[{'type':'text','text':'so'},{'type':'tool_use','id':'t1','name':'f','input':{"
     "'a':1}},{'type':'tool_use','id':'t2','name':'g','input':{}}]},{'role':'user','content':[{"
     "'type':'tool_result','tool_use_id':'t2','content':'two','is_error':true},{"
     "'type':'tool_result','tool_use_id':'t1','content':[{'type':'text','text':'one'},{"
     "'type':'text','text':'more'}]},{'type':'text','text':'and'}]}],'tools':[{'name':'f',"
     "'description':'does','input_schema':{'type':'object','properties':{'a':{"
     "'type':'integer'}}}},{'type':'web_search_20250305','name':'web_search'}],'tool_choice':{"
     "'type':'any','disable_parallel_tool_use':true}}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]},{"
     "'type':'message','role':'assistant','content':[{'type':'output_text','text':'so',"
     "'annotations':[]}]},{'type':'function_call','call_id':'t1','name':'f','arguments':'{"
     "`a`:1}'},{'type':'function_call','call_id':'t2','name':'g','arguments':'{}'},{"
     "'type':'function_call_output','call_id':'t1','output':'one\\nmore'},{"
     "'type':'function_call_output','call_id':'t2','output':'Error: two'},{'type':'message',"
     "'role':'user','content':[{'type':'input_text','text':'and'}]}],'tools':[{"
     "'type':'function','name':'f','description':'does','parameters':{'type':'object',"
     "'properties':{'a':{'type':'integer'}}},'strict':false}],'tool_choice':'required',"
     "'parallel_tool_calls':false,'max_output_tokens':50}",
     "tools.web_search"},
    {"a result is missing, one is nobody's",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'t1','name':'f','input':{}}]},{'role':'user',"
     "'content':[{'type':'text','text':'next'},{'type':'tool_result','tool_use_id':'t9',"
     "'content':'orphan'}]}]}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]},{"
     "'type':'function_call','call_id':'t1','name':'f','arguments':'{}'},{"
     "'type':'function_call_output','call_id':'t1','output':'Error: no result was recorded'},{"
     "'type':'message','role':'user','content':[{'type':'input_text','text':'next'},{"
     "'type':'input_text','text':'orphan'}]}],'max_output_tokens':50}",
     ""},
    {"an image in a result",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'t1','name':'f','input':{}}]},{'role':'user',"
     "'content':[{'type':'tool_result','tool_use_id':'t1','content':[{'type':'text',"
     "'text':'see'},{'type':'image','source':{'type':'base64','media_type':'image/png',"
     "'data':'AA'}}]}]}]}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]},{"
     "'type':'function_call','call_id':'t1','name':'f','arguments':'{}'},{"
     "'type':'function_call_output','call_id':'t1','output':[{'type':'input_text',"
     "'text':'see'},{'type':'input_image','image_url':'data:image/png;base64,AA',"
     "'detail':'auto'}]}],'max_output_tokens':50}",
     ""},
    {"names that targets refuse",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'}],'tools':[{'name':'a.b',"
     "'input_schema':{'type':'object','properties':{'a':{'type':'integer'}}}}],'tool_choice':{"
     "'type':'tool','name':'a.b'}}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]}],"
     "'tools':[{'type':'function','name':'a_b_e27bcb35','parameters':{'type':'object',"
     "'properties':{'a':{'type':'integer'}}},'strict':false}],'tool_choice':{'type':'function',"
     "'name':'a_b_e27bcb35'},'max_output_tokens':50}",
     ""},
    {"thoughts and a budget",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'},{'role':'assistant',"
     "'content':[{'type':'thinking','thinking':'hm','signature':'s'},{"
     "'type':'redacted_thinking','data':'x'},{'type':'text','text':'a'}]},{'role':'user',"
     "'content':[{'type':'text','text':'b'}]}],'thinking':{'type':'enabled',"
     "'budget_tokens':2048},'top_k':3,'temperature':0.5,'metadata':{'user_id':'me'},"
     "'service_tier':'auto'}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]},{"
     "'type':'message','role':'assistant','content':[{'type':'output_text','text':'a',"
     "'annotations':[]}]},{'type':'message','role':'user','content':[{'type':'input_text',"
     "'text':'b'}]}],'max_output_tokens':50,'temperature':0.5,'reasoning':{'effort':'medium'},"
     "'user':'me'}",
     "service_tier, thinking, top_k"},
    {"a schema, effort",
     "{'max_tokens':50,'messages':[{'role':'user','content':'u'}],'thinking':{"
     "'type':'adaptive'},'output_config':{'effort':'low','format':{'type':'json_schema',"
     "'schema':{'type':'object','properties':{'a':{'type':'integer'}}}}}}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'u'}]}],"
     "'max_output_tokens':50,'text':{'format':{'type':'json_schema','name':'answer','schema':{"
     "'type':'object','properties':{'a':{'type':'integer'}}}}},'reasoning':{'effort':'low'}}",
     ""},
    {"stop sequences", "{'max_tokens':50,'messages':[{'role':'user','content':'u'}],'stop_sequences':['a','b']}", NULL,
     "`stop_sequences`: stop sequences cannot be said in the responses API"},
    {"documents",
     "{'max_tokens':50,'messages':[{'role':'user','content':[{'type':'document',"
     "'title':'d.pdf','source':{'type':'base64','media_type':'application/pdf','data':'AA'}},{"
     "'type':'document','source':{'type':'url','url':'https://x/y'}}]}]}",
     "{'input':[{'type':'message','role':'user','content':[{'type':'input_file',"
     "'filename':'d.pdf','file_data':'data:application/pdf;base64,AA'},{'type':'input_file',"
     "'file_url':'https://x/y'}]}],'max_output_tokens':50}",
     ""},
    {"a file of the provider",
     "{'max_tokens':50,'messages':[{'role':'user','content':[{'type':'image','source':{"
     "'type':'file','file_id':'f'}}]}]}",
     NULL, "`messages[0].content[0].source`: a source of type file is not known to another provider"},
};

static const struct row responses_to_chat_rows[] = {
    {"instructions and late ones",
     "{'input':[{'role':'user','content':'u'},{'type':'message','role':'developer','content':[{"
     "'type':'input_text','text':'late'}]}],'instructions':'one'}",
     "{'messages':[{'role':'system','content':'one\\n\\nlate'},{'role':'user','content':'u'}]}", ""},
    {"calls, their results out of order",
     "{'input':[{'role':'user','content':'u'},{'type':'function_call','call_id':'c1',"
     "'name':'f','arguments':'{`a`:1}'},{'type':'function_call','call_id':'c2','name':'g',"
     "'arguments':'{}'},{'type':'function_call_output','call_id':'c2','output':'two'},{"
     "'type':'function_call_output','call_id':'c1','output':'one'}],'tools':[{"
     "'type':'function','name':'f','description':'does','parameters':{'type':'object',"
     "'properties':{'a':{'type':'integer'}}},'strict':true},{'type':'web_search'}],"
     "'tool_choice':'required','parallel_tool_calls':true}",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'{"
     "`a`:1}'}},{'id':'c2','type':'function','function':{'name':'g','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'c1','content':'one'},{'role':'tool','tool_call_id':'c2',"
     "'content':'two'}],'tools':[{'type':'function','function':{'name':'f',"
     "'description':'does','parameters':{'type':'object','properties':{'a':{"
     "'type':'integer'}}},'strict':true}}],'tool_choice':'required','parallel_tool_calls':true}",
     "tools.web_search"},
    {"a result is missing, one is nobody's",
     "{'input':[{'role':'user','content':'u'},{'type':'function_call','call_id':'c1',"
     "'name':'f','arguments':'{}'},{'type':'message','role':'assistant','content':[{"
     "'type':'output_text','text':'so'}]},{'type':'function_call_output','call_id':'c9',"
     "'output':'orphan'}]}",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':'so',"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'c1','content':'Error: no result was recorded'},{"
     "'role':'user','content':'orphan'}]}",
     ""},
    {"an image in a result",
     "{'input':[{'role':'user','content':'u'},{'type':'function_call','call_id':'c1',"
     "'name':'f','arguments':'{}'},{'type':'function_call_output','call_id':'c1','output':[{"
     "'type':'input_text','text':'see'},{'type':'input_image',"
     "'image_url':'data:image/png;base64,AA'}]}]}",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'{}'}}]},{"
     "'role':'tool','tool_call_id':'c1','content':'see'},{'role':'user','content':[{"
     "'type':'text','text':'Attached to the result of tool call c1:'},{'type':'image_url',"
     "'image_url':{'url':'data:image/png;base64,AA'}}]}]}",
     ""},
    {"Codex: a namespace, a free-text tool",
     "{'input':[{'role':'user','content':'u'},{'type':'function_call','call_id':'c1',"
     "'name':'f','arguments':'{}','namespace':'ns'},{'type':'custom_tool_call','call_id':'c2',"
     "'name':'patch','input':'a `b`'},{'type':'function_call_output','call_id':'c1',"
     "'output':'r'},{'type':'custom_tool_call_output','call_id':'c2','output':'done'}],"
     "'tools':[{'type':'namespace','name':'ns','tools':[{'type':'function','name':'f',"
     "'parameters':{'type':'object','properties':{'a':{'type':'integer'}}}}]},{'type':'custom',"
     "'name':'patch','description':'p'}],'tool_choice':{'type':'function','name':'f'}}",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':null,"
     "'tool_calls':[{'id':'c1','type':'function','function':{'name':'ns__f','arguments':'{}'}},"
     "{'id':'c2','type':'function','function':{'name':'patch','arguments':'{"
     "`input`:`a \\\\`b\\\\``}'}}]},{'role':'tool','tool_call_id':'c1','content':'r'},{"
     "'role':'tool','tool_call_id':'c2','content':'done'}],'tools':[{'type':'function',"
     "'function':{'name':'ns__f','parameters':{'type':'object','properties':{'a':{"
     "'type':'integer'}}}}},{'type':'function','function':{'name':'patch','description':'p',"
     "'parameters':{'type':'object','properties':{'input':{'type':'string'}},"
     "'required':['input'],'additionalProperties':false}}}],'tool_choice':{'type':'function',"
     "'function':{'name':'ns__f'}}}",
     ""},
    {"reasoning, effort",
     "{'input':[{'role':'user','content':'u'},{'type':'reasoning','id':'rs','summary':[{"
     "'type':'summary_text','text':'hm'}],'encrypted_content':'e'},{'role':'assistant',"
     "'content':'a'},{'role':'user','content':'b'}],'reasoning':{'effort':'medium',"
     "'summary':'auto'},'max_output_tokens':4000,'temperature':2,'store':false,'include':['x'],"
     "'metadata':{'a':'b'}}",
     "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':'a',"
     "'reasoning_content':'hm'},{'role':'user','content':'b'}],'max_tokens':4000,"
     "'temperature':2,'reasoning_effort':'medium'}",
     "metadata"},
    {"a schema",
     "{'input':[{'role':'user','content':'u'}],'text':{'format':{'type':'json_schema',"
     "'name':'n','strict':true,'schema':{'type':'object','properties':{'a':{"
     "'type':'integer'}}}},'verbosity':'low'}}",
     "{'messages':[{'role':'user','content':'u'}],'response_format':{'type':'json_schema',"
     "'json_schema':{'name':'n','schema':{'type':'object','properties':{'a':{"
     "'type':'integer'}}},'strict':true}}}",
     ""},
    {"a text alone, a small limit", "{'input':'hello','max_output_tokens':3,'top_p':0.5}",
     "{'messages':[{'role':'user','content':'hello'}],'max_tokens':3,'top_p':0.5}", ""},
    {"state on the server", "{'input':[{'role':'user','content':'u'}],'previous_response_id':'resp_1'}", NULL,
     "`previous_response_id` cannot be said in the protocol of this target"},
    {"an unknown item", "{'input':[{'role':'user','content':'u'},{'type':'item_reference','id':'x'}]}", NULL,
     "`input[1].type`: items of type item_reference cannot be translated"},
};

static const struct row responses_to_messages_rows[] = {
    {"instructions and late ones",
     "{'input':[{'role':'user','content':'u'},{'type':'message','role':'developer','content':[{"
     "'type':'input_text','text':'late'}]}],'instructions':'one'}",
     "{'system':'one\\n\\nlate','messages':[{'role':'user','content':[{'type':'text',"
     "'text':'u'}]}],'max_tokens':32000}",
     ""},
    {"calls, their results out of order",
     "{'input':[{'role':'user','content':'u'},{'type':'function_call','call_id':'c1',"
     "'name':'f','arguments':'{`a`:1}'},{'type':'function_call','call_id':'c2','name':'g',"
     "'arguments':'{}'},{'type':'function_call_output','call_id':'c2','output':'two'},{"
     "'type':'function_call_output','call_id':'c1','output':'one'}],'tools':[{"
     "'type':'function','name':'f','description':'does','parameters':{'type':'object',"
     "'properties':{'a':{'type':'integer'}}},'strict':true},{'type':'web_search'}],"
     "'tool_choice':'required','parallel_tool_calls':true}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'c1','name':'f','input':{'a':1}},{'type':'tool_use',"
     "'id':'c2','name':'g','input':{}}]},{'role':'user','content':[{'type':'tool_result',"
     "'tool_use_id':'c1','content':[{'type':'text','text':'one'}]},{'type':'tool_result',"
     "'tool_use_id':'c2','content':[{'type':'text','text':'two'}]}]}],'tools':[{'name':'f',"
     "'description':'does','input_schema':{'type':'object','properties':{'a':{"
     "'type':'integer'}}}}],'tool_choice':{'type':'any','disable_parallel_tool_use':false},"
     "'max_tokens':32000}",
     "tools.web_search"},
    {"a result is missing, one is nobody's",
     "{'input':[{'role':'user','content':'u'},{'type':'function_call','call_id':'c1',"
     "'name':'f','arguments':'{}'},{'type':'message','role':'assistant','content':[{"
     "'type':'output_text','text':'so'}]},{'type':'function_call_output','call_id':'c9',"
     "'output':'orphan'}]}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'c1','name':'f','input':{}},{'type':'text',"
     "'text':'so'}]},{'role':'user','content':[{'type':'tool_result','tool_use_id':'c1',"
     "'is_error':true,'content':[{'type':'text','text':'no result was recorded'}]},{"
     "'type':'text','text':'orphan'}]}],'max_tokens':32000}",
     ""},
    {"an image in a result",
     "{'input':[{'role':'user','content':'u'},{'type':'function_call','call_id':'c1',"
     "'name':'f','arguments':'{}'},{'type':'function_call_output','call_id':'c1','output':[{"
     "'type':'input_text','text':'see'},{'type':'input_image',"
     "'image_url':'data:image/png;base64,AA'}]}]}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'c1','name':'f','input':{}}]},{'role':'user',"
     "'content':[{'type':'tool_result','tool_use_id':'c1','content':[{'type':'text',"
     "'text':'see'},{'type':'image','source':{'type':'base64','media_type':'image/png',"
     "'data':'AA'}}]}]}],'max_tokens':32000}",
     ""},
    {"Codex: a namespace, a free-text tool",
     "{'input':[{'role':'user','content':'u'},{'type':'function_call','call_id':'c1',"
     "'name':'f','arguments':'{}','namespace':'ns'},{'type':'custom_tool_call','call_id':'c2',"
     "'name':'patch','input':'a `b`'},{'type':'function_call_output','call_id':'c1',"
     "'output':'r'},{'type':'custom_tool_call_output','call_id':'c2','output':'done'}],"
     "'tools':[{'type':'namespace','name':'ns','tools':[{'type':'function','name':'f',"
     "'parameters':{'type':'object','properties':{'a':{'type':'integer'}}}}]},{'type':'custom',"
     "'name':'patch','description':'p'}],'tool_choice':{'type':'function','name':'f'}}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]},{'role':'assistant',"
     "'content':[{'type':'tool_use','id':'c1','name':'ns__f','input':{}},{'type':'tool_use',"
     "'id':'c2','name':'patch','input':{'input':'a `b`'}}]},{'role':'user','content':[{"
     "'type':'tool_result','tool_use_id':'c1','content':[{'type':'text','text':'r'}]},{"
     "'type':'tool_result','tool_use_id':'c2','content':[{'type':'text','text':'done'}]}]}],"
     "'tools':[{'name':'ns__f','input_schema':{'type':'object','properties':{'a':{"
     "'type':'integer'}}}},{'name':'patch','description':'p','input_schema':{'type':'object',"
     "'properties':{'input':{'type':'string'}},'required':['input'],"
     "'additionalProperties':false}}],'tool_choice':{'type':'tool','name':'ns__f'},"
     "'max_tokens':32000}",
     ""},
    {"reasoning, effort",
     "{'input':[{'role':'user','content':'u'},{'type':'reasoning','id':'rs','summary':[{"
     "'type':'summary_text','text':'hm'}],'encrypted_content':'e'},{'role':'assistant',"
     "'content':'a'},{'role':'user','content':'b'}],'reasoning':{'effort':'medium',"
     "'summary':'auto'},'max_output_tokens':4000,'temperature':2,'store':false,'include':['x'],"
     "'metadata':{'a':'b'}}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]},{'role':'assistant',"
     "'content':[{'type':'text','text':'a'}]},{'role':'user','content':[{'type':'text',"
     "'text':'b'}]}],'thinking':{'type':'enabled','budget_tokens':2048},'max_tokens':4000}",
     "metadata, thinking, temperature"},
    {"a schema",
     "{'input':[{'role':'user','content':'u'}],'text':{'format':{'type':'json_schema',"
     "'name':'n','strict':true,'schema':{'type':'object','properties':{'a':{"
     "'type':'integer'}}}},'verbosity':'low'}}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]}],'max_tokens':32000,"
     "'output_config':{'format':{'type':'json_schema','schema':{'type':'object','properties':{"
     "'a':{'type':'integer'}},'additionalProperties':false}}}}",
     ""},
    {"a text alone, a small limit", "{'input':'hello','max_output_tokens':3,'top_p':0.5}",
     "{'messages':[{'role':'user','content':[{'type':'text','text':'hello'}]}],'max_tokens':3,"
     "'top_p':0.5}",
     ""},
    {"state on the server", "{'input':[{'role':'user','content':'u'}],'previous_response_id':'resp_1'}", NULL,
     "`previous_response_id` cannot be said in the protocol of this target"},
    {"an unknown item", "{'input':[{'role':'user','content':'u'},{'type':'item_reference','id':'x'}]}", NULL,
     "`input[1].type`: items of type item_reference cannot be translated"},
};

static void chat_to_messages(void **state)
{
    (void)state;
    check(chat_to_messages_rows, COUNT(chat_to_messages_rows), PM_PROTO_CHAT, PM_PROTO_MESSAGES);
}

static void chat_to_responses(void **state)
{
    (void)state;
    check(chat_to_responses_rows, COUNT(chat_to_responses_rows), PM_PROTO_CHAT, PM_PROTO_RESPONSES);
}

static void messages_to_chat(void **state)
{
    (void)state;
    check(messages_to_chat_rows, COUNT(messages_to_chat_rows), PM_PROTO_MESSAGES, PM_PROTO_CHAT);
}

static void messages_to_responses(void **state)
{
    (void)state;
    check(messages_to_responses_rows, COUNT(messages_to_responses_rows), PM_PROTO_MESSAGES, PM_PROTO_RESPONSES);
}

static void responses_to_chat(void **state)
{
    (void)state;
    check(responses_to_chat_rows, COUNT(responses_to_chat_rows), PM_PROTO_RESPONSES, PM_PROTO_CHAT);
}

static void responses_to_messages(void **state)
{
    (void)state;
    check(responses_to_messages_rows, COUNT(responses_to_messages_rows), PM_PROTO_RESPONSES, PM_PROTO_MESSAGES);
}

static const struct pm_codec_target openai = {.model = "target", .max_tokens = 100, .is_openai = true};

static void what_a_target_wants(void **state)
{
    static const struct {
        enum pm_protocol from, to;
        struct row row;
    } rows[] = {
        {PM_PROTO_MESSAGES,
         PM_PROTO_CHAT,
         {"what OpenAI calls the limit", "{'max_tokens':50,'messages':[{'role':'user','content':'u'}]}",
          "{'messages':[{'role':'user','content':'u'}],'max_completion_tokens':50}", ""}},
        {PM_PROTO_CHAT,
         PM_PROTO_RESPONSES,
         {"a limit that is too small there, a target's own",
          "{'messages':[{'role':'user','content':'u'}],'max_tokens':3}",
          "{'input':[{'type':'message','role':'user','content':[{'type':'input_text',"
          "'text':'u'}]}],'max_output_tokens':16}",
          ""}},
        {PM_PROTO_CHAT,
         PM_PROTO_MESSAGES,
         {"a target's own limit", "{'messages':[{'role':'user','content':'u'}],'max_tokens':300}",
          "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]}],"
          "'max_tokens':100}",
          ""}},
        {PM_PROTO_MESSAGES,
         PM_PROTO_CHAT,
         {"top_k is not known, thoughts are not wanted",
          "{'max_tokens':50,'messages':[{'role':'user','content':'u'},{'role':'assistant',"
          "'content':[{'type':'thinking','thinking':'hm','signature':''},{'type':'text',"
          "'text':'a'}]},{'role':'user','content':'u'}],'top_k':3}",
          "{'messages':[{'role':'user','content':'u'},{'role':'assistant','content':'a'},{"
          "'role':'user','content':'u'}],'max_completion_tokens':50}",
          "thinking, top_k"}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check_row(&rows[i].row, rows[i].from, rows[i].to, &openai);
}

static void odd_requests(void **state)
{
    static const struct {
        enum pm_protocol from, to;
        struct row row;
    } rows[] = {
        {PM_PROTO_CHAT,
         PM_PROTO_MESSAGES,
         {"a limit beyond all bounds", "{'messages':[{'role':'user','content':'u'}],'max_tokens':1e+300}",
          "{'messages':[{'role':'user','content':[{'type':'text','text':'u'}]}],"
          "'max_tokens':32000}",
          ""}},
        {PM_PROTO_MESSAGES,
         PM_PROTO_CHAT,
         {"a call in the user's turn",
          "{'max_tokens':50,'messages':[{'role':'user','content':[{'type':'tool_use','id':'t1',"
          "'name':'f','input':{}}]}]}",
          NULL, "`messages[0].content[0].type`: a block of that type cannot stand there"}},
        {PM_PROTO_MESSAGES,
         PM_PROTO_CHAT,
         {"a result in the assistant's turn",
          "{'max_tokens':50,'messages':[{'role':'user','content':'u'},{'role':'assistant',"
          "'content':[{'type':'tool_result','tool_use_id':'t1','content':'r'}]}]}",
          NULL, "`messages[1].content[0].type`: a block of that type cannot stand there"}},
        {PM_PROTO_MESSAGES,
         PM_PROTO_CHAT,
         {"nothing was said, to chat", "{'max_tokens':50,'messages':[{'role':'user'}]}", NULL,
          "nothing was said that could be answered"}},
        {PM_PROTO_CHAT,
         PM_PROTO_RESPONSES,
         {"only instructions, to responses", "{'messages':[{'role':'system','content':'s'}]}",
          "{'input':[{'type':'message','role':'user','content':[{'type':'input_text',"
          "'text':'s'}]}]}",
          ""}},
        {PM_PROTO_CHAT,
         PM_PROTO_MESSAGES,
         {"neighbours of one role are one message",
          "{'messages':[{'role':'user','content':'u'},{'role':'assistant',"
          "'reasoning_content':'hm'},{'role':'user','content':'v'}]}",
          "{'messages':[{'role':'user','content':[{'type':'text','text':'u'},{'type':'text',"
          "'text':'v'}]}],'max_tokens':32000}",
          "thinking"}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check_row(&rows[i].row, rows[i].from, rows[i].to, &llama);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat_to_messages),    cmocka_unit_test(chat_to_responses),
        cmocka_unit_test(messages_to_chat),    cmocka_unit_test(messages_to_responses),
        cmocka_unit_test(responses_to_chat),   cmocka_unit_test(responses_to_messages),
        cmocka_unit_test(what_a_target_wants), cmocka_unit_test(odd_requests),
    };
    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
