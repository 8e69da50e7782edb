/* Answers put into another protocol's words, event for event: a table for each protocol of the target. */
#include "tests/unit/stream_text.h"

struct answer {
    const char *name, *in;
    bool complete;
    const char *out[2]; /* in the other two protocols */
};

static void check(const struct answer *rows, size_t n, enum pm_protocol from, const enum pm_protocol *to)
{
    for (size_t i = 0; i < 2 * n; i++) {
        const struct answer *row = &rows[i / 2];
        struct pm_buf out;
        struct pm_encoder *e = new_encoder(to[i % 2], NULL, &out);
        struct pm_decoder *d = pm_decoder_new(from, encode, e);
        each_event(row->in, decode, d);
        expect(pm_decoder_end(d) == row->complete, "%s: complete is %d\n", row->name, !row->complete);
        same_lines(row->name, &out, to[i % 2], row->out[i % 2]);
        pm_decoder_free(d);
        pm_encoder_free(e);
    }
}

static const struct answer of_chat[] = {
    {"thoughts, a text, usage after the end",
     "{'id':'c1','model':'up','choices':[{'delta':{'role':'assistant','content':''}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'reasoning_content':'hm'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'content':'Hi'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'content':' you'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{},'finish_reason':'stop'}]}\n"
     "{'id':'c1','choices':[],'usage':{'prompt_tokens':20,'completion_tokens':5,'prompt_tokens_details':{'cached_"
     "tokens':8},'completion_tokens_details':{'reasoning_tokens':2}}}\n"
     "[DONE]\n",
     true,
     {"{'~created',#0,'response':{'id':'c1'~'in_progress','output':[],'usage':null}}\n"
      "{'~in_progress',#1,'response':{'id':'c1'~'in_progress','output':[],'usage':null}}\n"
      "{'~output_item.added',#2,'output_index':0,'item':{'id':'rs_c1_0','type':'reasoning','summary':[],'content':[]}}"
      "\n"
      "{'~content_part.added',#3,'output_index':0,'item_id':'rs_c1_0','content_index':0,'part':{'type':'reasoning_"
      "text','text':''}}\n"
      "{'~reasoning_text.delta',#4,'output_index':0,'item_id':'rs_c1_0','content_index':0,'delta':'hm'}\n"
      "{'~reasoning_text.done',#5,'output_index':0,'item_id':'rs_c1_0','content_index':0,'text':'hm'}\n"
      "{'~content_part.done',#6,'output_index':0,'item_id':'rs_c1_0','content_index':0,'part':{'type':'reasoning_text'"
      ",'text':'hm'}}\n"
      "{'~output_item.done',#7,'output_index':0,'item':{'id':'rs_c1_0','type':'reasoning','summary':[],'content':[{'"
      "type':'reasoning_text','text':'hm'}]}}\n"
      "{'~output_item.added',#8,'output_index':1,'item':{'id':'msg_c1_1','type':'message','status':'in_progress','"
      "role':'assistant','content':[]}}\n"
      "{'~content_part.added',#9,'output_index':1,'item_id':'msg_c1_1','content_index':0,'part':{'type':'output_text',"
      "'text':'',^}}\n"
      "{'~output_text.delta',#10,'output_index':1,'item_id':'msg_c1_1','content_index':0,'delta':'Hi','logprobs':[]}\n"
      "{'~output_text.delta',#11,'output_index':1,'item_id':'msg_c1_1','content_index':0,'delta':' "
      "you','logprobs':[]}\n"
      "{'~output_text.done',#12,'output_index':1,'item_id':'msg_c1_1','content_index':0,'text':'Hi "
      "you','logprobs':[]}\n"
      "{'~content_part.done',#13,'output_index':1,'item_id':'msg_c1_1','content_index':0,'part':{'type':'output_text',"
      "'text':'Hi you',^}}\n"
      "{'~output_item.done',#14,'output_index':1,'item':{'id':'msg_c1_1','type':'message','status':'completed','role':"
      "'assistant','content':[{'type':'output_text','text':'Hi you',^}]}}\n"
      "{'~completed',#15,'response':{'id':'c1'~'completed','output':[{'id':'rs_c1_0','type':'reasoning','summary':[],'"
      "content':[{'type':'reasoning_text','text':'hm'}]},{'id':'msg_c1_1','type':'message','status':'completed','role'"
      ":'assistant','content':[{'type':'output_text','text':'Hi "
      "you',^}]}],'usage':{'input_tokens':20,'input_tokens_details':{'cached_tokens':8},'output_tokens':5,'output_"
      "tokens_details':{'reasoning_tokens':2},'total_tokens':25}}}\n",
      "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
      "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
      "input_tokens':0,'output_tokens':0}}}\n"
      "{'~start','index':0,'content_block':{'type':'thinking','thinking':'','signature':''}}\n"
      "{'~delta','index':0,'delta':{'type':'thinking_delta','thinking':'hm'}}\n"
      "{'~stop','index':0}\n"
      "{'~start','index':1,'content_block':{'type':'text','text':''}}\n"
      "{'~delta','index':1,'delta':{'type':'text_delta','text':'Hi'}}\n"
      "{'~delta','index':1,'delta':{'type':'text_delta','text':' you'}}\n"
      "{'~stop','index':1}\n"
      "{'type':'message_delta','delta':{'stop_reason':'end_turn','stop_sequence':null},'usage':{'input_tokens':12,'"
      "cache_creation_input_tokens':0,'cache_read_input_tokens':8,'output_tokens':5}}\n"
      "{'type':'message_stop'}\n"}},
    {"calls whose pieces come mixed, and stop",
     "{'id':'c1','model':'up','choices':[{'delta':{'tool_calls':[{'index':0,'id':'a','function':{'name':'f','"
     "arguments':'{`x`:'}}]}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'tool_calls':[{'index':1,'id':'b','function':{'name':'g','"
     "arguments':'{`y`:'}}]}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'tool_calls':[{'index':0,'function':{'arguments':'1}'}}]}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'tool_calls':[{'index':1,'function':{'arguments':'2}'}}]}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{},'finish_reason':'stop'}]}\n"
     "[DONE]\n",
     true,
     {"{'~created',#0,'response':{'id':'c1'~'in_progress','output':[],'usage':null}}\n"
      "{'~in_progress',#1,'response':{'id':'c1'~'in_progress','output':[],'usage':null}}\n"
      "{'~output_item.added',#2,'output_index':0,'item':{'id':'fc_c1_0','type':'function_call','status':'in_progress',"
      "'call_id':'a','name':'f','arguments':''}}\n"
      "{'~function_call_arguments.delta',#3,'output_index':0,'item_id':'fc_c1_0','delta':'{`x`:'}\n"
      "{'~function_call_arguments.delta',#4,'output_index':0,'item_id':'fc_c1_0','delta':'1}'}\n"
      "{'~function_call_arguments.done',#5,'output_index':0,'item_id':'fc_c1_0','arguments':'{`x`:1}'}\n"
      "{'~output_item.done',#6,'output_index':0,'item':{'id':'fc_c1_0','type':'function_call','status':'completed','"
      "call_id':'a','name':'f','arguments':'{`x`:1}'}}\n"
      "{'~output_item.added',#7,'output_index':1,'item':{'id':'fc_c1_1','type':'function_call','status':'in_progress',"
      "'call_id':'b','name':'g','arguments':''}}\n"
      "{'~function_call_arguments.delta',#8,'output_index':1,'item_id':'fc_c1_1','delta':'{`y`:2}'}\n"
      "{'~function_call_arguments.done',#9,'output_index':1,'item_id':'fc_c1_1','arguments':'{`y`:2}'}\n"
      "{'~output_item.done',#10,'output_index':1,'item':{'id':'fc_c1_1','type':'function_call','status':'completed','"
      "call_id':'b','name':'g','arguments':'{`y`:2}'}}\n"
      "{'~completed',#11,'response':{'id':'c1'~'completed','output':[{'id':'fc_c1_0','type':'function_call','status':'"
      "completed','call_id':'a','name':'f','arguments':'{`x`:1}'},{'id':'fc_c1_1','type':'function_call','status':'"
      "completed','call_id':'b','name':'g','arguments':'{`y`:2}'}],'usage':{'input_tokens':0,'input_tokens_details':{'"
      "cached_tokens':0},'output_tokens':0,'output_tokens_details':{'reasoning_tokens':0},'total_tokens':0}}}\n",
      "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
      "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
      "input_tokens':0,'output_tokens':0}}}\n"
      "{'~start','index':0,'content_block':{'type':'tool_use','id':'a','name':'f','input':{}}}\n"
      "{'~delta','index':0,'delta':{'type':'input_json_delta','partial_json':'{`x`:'}}\n"
      "{'~delta','index':0,'delta':{'type':'input_json_delta','partial_json':'1}'}}\n"
      "{'~stop','index':0}\n"
      "{'~start','index':1,'content_block':{'type':'tool_use','id':'b','name':'g','input':{}}}\n"
      "{'~delta','index':1,'delta':{'type':'input_json_delta','partial_json':'{`y`:2}'}}\n"
      "{'~stop','index':1}\n"
      "{'type':'message_delta','delta':{'stop_reason':'tool_use','stop_sequence':null},'usage':{'input_tokens':7,'"
      "cache_creation_input_tokens':0,'cache_read_input_tokens':0,'output_tokens':0}}\n"
      "{'type':'message_stop'}\n"}},
    {"cut at the limit, no usage",
     "{'id':'c1','model':'up','choices':[{'delta':{'content':'Hi'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{},'finish_reason':'length'}]}\n",
     true,
     {"{'~created',#0,'response':{'id':'c1'~'in_progress','output':[],'usage':null}}\n"
      "{'~in_progress',#1,'response':{'id':'c1'~'in_progress','output':[],'usage':null}}\n"
      "{'~output_item.added',#2,'output_index':0,'item':{'id':'msg_c1_0','type':'message','status':'in_progress','"
      "role':'assistant','content':[]}}\n"
      "{'~content_part.added',#3,'output_index':0,'item_id':'msg_c1_0','content_index':0,'part':{'type':'output_text',"
      "'text':'',^}}\n"
      "{'~output_text.delta',#4,'output_index':0,'item_id':'msg_c1_0','content_index':0,'delta':'Hi','logprobs':[]}\n"
      "{'~output_text.done',#5,'output_index':0,'item_id':'msg_c1_0','content_index':0,'text':'Hi','logprobs':[]}\n"
      "{'~content_part.done',#6,'output_index':0,'item_id':'msg_c1_0','content_index':0,'part':{'type':'output_text','"
      "text':'Hi',^}}\n"
      "{'~output_item.done',#7,'output_index':0,'item':{'id':'msg_c1_0','type':'message','status':'completed','role':'"
      "assistant','content':[{'type':'output_text','text':'Hi',^}]}}\n"
      "{'~incomplete',#8,'response':{'id':'c1'~'incomplete','background':false,'error':null,'incomplete_details':{'"
      "reason':'max_output_tokens'},'output':[{'id':'msg_c1_0','type':'message','status':'completed','role':'"
      "assistant','content':[{'type':'output_text','text':'Hi',^}]}],'usage':{'input_tokens':0,'input_tokens_details':"
      "{'cached_tokens':0},'output_tokens':0,'output_tokens_details':{'reasoning_tokens':0},'total_tokens':0}}}\n",
      "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
      "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
      "input_tokens':0,'output_tokens':0}}}\n"
      "{'~start','index':0,'content_block':{'type':'text','text':''}}\n"
      "{'~delta','index':0,'delta':{'type':'text_delta','text':'Hi'}}\n"
      "{'~stop','index':0}\n"
      "{'type':'message_delta','delta':{'stop_reason':'max_tokens','stop_sequence':null},'usage':{'input_tokens':7,'"
      "cache_creation_input_tokens':0,'cache_read_input_tokens':0,'output_tokens':0}}\n"
      "{'type':'message_stop'}\n"}},
    {"no reason to end",
     "{'id':'c1','model':'up','choices':[{'delta':{'content':'Hi'}}]}\n"
     "[DONE]\n",
     false,
     {"{'~created',#0,'response':{'id':'c1'~'in_progress','output':[],'usage':null}}\n"
      "{'~in_progress',#1,'response':{'id':'c1'~'in_progress','output':[],'usage':null}}\n"
      "{'~output_item.added',#2,'output_index':0,'item':{'id':'msg_c1_0','type':'message','status':'in_progress','"
      "role':'assistant','content':[]}}\n"
      "{'~content_part.added',#3,'output_index':0,'item_id':'msg_c1_0','content_index':0,'part':{'type':'output_text',"
      "'text':'',^}}\n"
      "{'~output_text.delta',#4,'output_index':0,'item_id':'msg_c1_0','content_index':0,'delta':'Hi','logprobs':[]}\n",
      "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
      "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
      "input_tokens':0,'output_tokens':0}}}\n"
      "{'~start','index':0,'content_block':{'type':'text','text':''}}\n"
      "{'~delta','index':0,'delta':{'type':'text_delta','text':'Hi'}}\n"}},
    {"an error in the middle",
     "{'id':'c1','model':'up','choices':[{'delta':{'content':'Hi'}}]}\n"
     "{'error':{'message':'broke','type':'server_error'}}\n",
     false,
     {"{'~created',#0,'response':{'id':'c1'~'in_progress','output':[],'usage':null}}\n"
      "{'~in_progress',#1,'response':{'id':'c1'~'in_progress','output':[],'usage':null}}\n"
      "{'~output_item.added',#2,'output_index':0,'item':{'id':'msg_c1_0','type':'message','status':'in_progress','"
      "role':'assistant','content':[]}}\n"
      "{'~content_part.added',#3,'output_index':0,'item_id':'msg_c1_0','content_index':0,'part':{'type':'output_text',"
      "'text':'',^}}\n"
      "{'~output_text.delta',#4,'output_index':0,'item_id':'msg_c1_0','content_index':0,'delta':'Hi','logprobs':[]}\n"
      "{'~failed',#5,'response':{'id':'c1'~'failed','background':false,'error':{'code':'server_error','message':'"
      "broke'},'incomplete_details':null,'output':[],'usage':null}}\n",
      "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
      "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
      "input_tokens':0,'output_tokens':0}}}\n"
      "{'~start','index':0,'content_block':{'type':'text','text':''}}\n"
      "{'~delta','index':0,'delta':{'type':'text_delta','text':'Hi'}}\n"
      "{'type':'error','error':{'type':'api_error','message':'broke'}}\n"}},
};

static const struct answer of_messages[] = {
    {"thoughts, a text, a call, usage with a cache",
     "{'type':'message_start','message':{'id':'m1','model':'up','usage':{'input_tokens':10,'cache_read_input_tokens':"
     "4,'cache_creation_input_tokens':2,'output_tokens':1}}}\n"
     "{'type':'ping'}\n"
     "{'type':'content_block_start','index':0,'content_block':{'type':'thinking','thinking':'','signature':''}}\n"
     "{'type':'content_block_delta','index':0,'delta':{'type':'thinking_delta','thinking':'hm'}}\n"
     "{'type':'content_block_delta','index':0,'delta':{'type':'signature_delta','signature':'sig'}}\n"
     "{'type':'content_block_stop','index':0}\n"
     "{'type':'content_block_start','index':1,'content_block':{'type':'text','text':''}}\n"
     "{'type':'content_block_delta','index':1,'delta':{'type':'text_delta','text':'Hi'}}\n"
     "{'type':'content_block_stop','index':1}\n"
     "{'type':'content_block_start','index':2,'content_block':{'type':'tool_use','id':'t1','name':'f','input':{}}}\n"
     "{'type':'content_block_delta','index':2,'delta':{'type':'input_json_delta','partial_json':'{`x`:'}}\n"
     "{'type':'content_block_delta','index':2,'delta':{'type':'input_json_delta','partial_json':'1}'}}\n"
     "{'type':'content_block_stop','index':2}\n"
     "{'type':'message_delta','delta':{'stop_reason':'tool_use','stop_sequence':null},'usage':{'output_tokens':9}}\n"
     "{'type':'message_stop'}\n",
     true,
     {"{'id':'m1',~{'role':'assistant','content':''}\n"
      "{'id':'m1',~{'reasoning_content':'hm'}\n"
      "{'id':'m1',~{'content':'Hi'}\n"
      "{'id':'m1',~{'tool_calls':[{'index':0,'id':'t1','type':'function','function':{'name':'f','arguments':''}}]}\n"
      "{'id':'m1',~{'tool_calls':[{'index':0,'function':{'arguments':'{`x`:'}}]}\n"
      "{'id':'m1',~{'tool_calls':[{'index':0,'function':{'arguments':'1}'}}]}\n"
      "{'id':'m1',~{},'finish_reason':'tool_calls'}]}\n"
      "{'id':'m1','choices':[],'usage':{'prompt_tokens':16,'completion_tokens':9,'total_tokens':25,'prompt_tokens_"
      "details':{'cached_tokens':4},'completion_tokens_details':{'reasoning_tokens':0}}}\n"
      "[DONE]\n",
      "{'~created',#0,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~in_progress',#1,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~output_item.added',#2,'output_index':0,'item':{'id':'rs_m1_0','type':'reasoning','summary':[],'content':[]}}"
      "\n"
      "{'~content_part.added',#3,'output_index':0,'item_id':'rs_m1_0','content_index':0,'part':{'type':'reasoning_"
      "text','text':''}}\n"
      "{'~reasoning_text.delta',#4,'output_index':0,'item_id':'rs_m1_0','content_index':0,'delta':'hm'}\n"
      "{'~reasoning_text.done',#5,'output_index':0,'item_id':'rs_m1_0','content_index':0,'text':'hm'}\n"
      "{'~content_part.done',#6,'output_index':0,'item_id':'rs_m1_0','content_index':0,'part':{'type':'reasoning_text'"
      ",'text':'hm'}}\n"
      "{'~output_item.done',#7,'output_index':0,'item':{'id':'rs_m1_0','type':'reasoning','summary':[],'content':[{'"
      "type':'reasoning_text','text':'hm'}]}}\n"
      "{'~output_item.added',#8,'output_index':1,'item':{'id':'msg_m1_1','type':'message','status':'in_progress','"
      "role':'assistant','content':[]}}\n"
      "{'~content_part.added',#9,'output_index':1,'item_id':'msg_m1_1','content_index':0,'part':{'type':'output_text',"
      "'text':'',^}}\n"
      "{'~output_text.delta',#10,'output_index':1,'item_id':'msg_m1_1','content_index':0,'delta':'Hi','logprobs':[]}\n"
      "{'~output_text.done',#11,'output_index':1,'item_id':'msg_m1_1','content_index':0,'text':'Hi','logprobs':[]}\n"
      "{'~content_part.done',#12,'output_index':1,'item_id':'msg_m1_1','content_index':0,'part':{'type':'output_text',"
      "'text':'Hi',^}}\n"
      "{'~output_item.done',#13,'output_index':1,'item':{'id':'msg_m1_1','type':'message','status':'completed','role':"
      "'assistant','content':[{'type':'output_text','text':'Hi',^}]}}\n"
      "{'~output_item.added',#14,'output_index':2,'item':{'id':'fc_m1_2','type':'function_call','status':'in_progress'"
      ",'call_id':'t1','name':'f','arguments':''}}\n"
      "{'~function_call_arguments.delta',#15,'output_index':2,'item_id':'fc_m1_2','delta':'{`x`:'}\n"
      "{'~function_call_arguments.delta',#16,'output_index':2,'item_id':'fc_m1_2','delta':'1}'}\n"
      "{'~function_call_arguments.done',#17,'output_index':2,'item_id':'fc_m1_2','arguments':'{`x`:1}'}\n"
      "{'~output_item.done',#18,'output_index':2,'item':{'id':'fc_m1_2','type':'function_call','status':'completed','"
      "call_id':'t1','name':'f','arguments':'{`x`:1}'}}\n"
      "{'~completed',#19,'response':{'id':'m1'~'completed','output':[{'id':'rs_m1_0','type':'reasoning','summary':[],'"
      "content':[{'type':'reasoning_text','text':'hm'}]},{'id':'msg_m1_1','type':'message','status':'completed','role'"
      ":'assistant','content':[{'type':'output_text','text':'Hi',^}]},{'id':'fc_m1_2','type':'function_call','status':"
      "'completed','call_id':'t1','name':'f','arguments':'{`x`:1}'}],'usage':{'input_tokens':16,'input_tokens_details'"
      ":{'cached_tokens':4},'output_tokens':9,'output_tokens_details':{'reasoning_tokens':0},'total_tokens':25}}}\n"}},
    {"a stop sequence",
     "{'type':'message_start','message':{'id':'m1','model':'up','usage':{'input_tokens':3}}}\n"
     "{'type':'content_block_start','index':0,'content_block':{'type':'text','text':'H'}}\n"
     "{'type':'content_block_delta','index':0,'delta':{'type':'text_delta','text':'i'}}\n"
     "{'type':'content_block_stop','index':0}\n"
     "{'type':'message_delta','delta':{'stop_reason':'stop_sequence','stop_sequence':'END'},'usage':{'output_tokens':"
     "2}}\n"
     "{'type':'message_stop'}\n",
     true,
     {"{'id':'m1',~{'role':'assistant','content':''}\n"
      "{'id':'m1',~{'content':'H'}\n"
      "{'id':'m1',~{'content':'i'}\n"
      "{'id':'m1',~{},'finish_reason':'stop'}]}\n"
      "{'id':'m1','choices':[],'usage':{'prompt_tokens':3,'completion_tokens':2,'total_tokens':5,'prompt_tokens_"
      "details':{'cached_tokens':0},'completion_tokens_details':{'reasoning_tokens':0}}}\n"
      "[DONE]\n",
      "{'~created',#0,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~in_progress',#1,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~output_item.added',#2,'output_index':0,'item':{'id':'msg_m1_0','type':'message','status':'in_progress','"
      "role':'assistant','content':[]}}\n"
      "{'~content_part.added',#3,'output_index':0,'item_id':'msg_m1_0','content_index':0,'part':{'type':'output_text',"
      "'text':'',^}}\n"
      "{'~output_text.delta',#4,'output_index':0,'item_id':'msg_m1_0','content_index':0,'delta':'H','logprobs':[]}\n"
      "{'~output_text.delta',#5,'output_index':0,'item_id':'msg_m1_0','content_index':0,'delta':'i','logprobs':[]}\n"
      "{'~output_text.done',#6,'output_index':0,'item_id':'msg_m1_0','content_index':0,'text':'Hi','logprobs':[]}\n"
      "{'~content_part.done',#7,'output_index':0,'item_id':'msg_m1_0','content_index':0,'part':{'type':'output_text','"
      "text':'Hi',^}}\n"
      "{'~output_item.done',#8,'output_index':0,'item':{'id':'msg_m1_0','type':'message','status':'completed','role':'"
      "assistant','content':[{'type':'output_text','text':'Hi',^}]}}\n"
      "{'~completed',#9,'response':{'id':'m1'~'completed','output':[{'id':'msg_m1_0','type':'message','status':'"
      "completed','role':'assistant','content':[{'type':'output_text','text':'Hi',^}]}],'usage':{'input_tokens':3,'"
      "input_tokens_details':{'cached_tokens':0},'output_tokens':2,'output_tokens_details':{'reasoning_tokens':0},'"
      "total_tokens':5}}}\n"}},
    {"a call without arguments, another one",
     "{'type':'message_start','message':{'id':'m1','model':'up','usage':{'input_tokens':3}}}\n"
     "{'type':'content_block_start','index':0,'content_block':{'type':'tool_use','id':'t1','name':'f','input':{}}}\n"
     "{'type':'content_block_stop','index':0}\n"
     "{'type':'content_block_start','index':1,'content_block':{'type':'tool_use','id':'t2','name':'g','input':{'y':2}}"
     "}\n"
     "{'type':'content_block_stop','index':1}\n"
     "{'type':'message_delta','delta':{'stop_reason':'tool_use','stop_sequence':null},'usage':{'output_tokens':2}}\n"
     "{'type':'message_stop'}\n",
     true,
     {"{'id':'m1',~{'role':'assistant','content':''}\n"
      "{'id':'m1',~{'tool_calls':[{'index':0,'id':'t1','type':'function','function':{'name':'f','arguments':''}}]}\n"
      "{'id':'m1',~{'tool_calls':[{'index':0,'function':{'arguments':'{}'}}]}\n"
      "{'id':'m1',~{'tool_calls':[{'index':1,'id':'t2','type':'function','function':{'name':'g','arguments':''}}]}\n"
      "{'id':'m1',~{'tool_calls':[{'index':1,'function':{'arguments':'{`y`:2}'}}]}\n"
      "{'id':'m1',~{},'finish_reason':'tool_calls'}]}\n"
      "{'id':'m1','choices':[],'usage':{'prompt_tokens':3,'completion_tokens':2,'total_tokens':5,'prompt_tokens_"
      "details':{'cached_tokens':0},'completion_tokens_details':{'reasoning_tokens':0}}}\n"
      "[DONE]\n",
      "{'~created',#0,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~in_progress',#1,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~output_item.added',#2,'output_index':0,'item':{'id':'fc_m1_0','type':'function_call','status':'in_progress',"
      "'call_id':'t1','name':'f','arguments':''}}\n"
      "{'~function_call_arguments.delta',#3,'output_index':0,'item_id':'fc_m1_0','delta':'{}'}\n"
      "{'~function_call_arguments.done',#4,'output_index':0,'item_id':'fc_m1_0','arguments':'{}'}\n"
      "{'~output_item.done',#5,'output_index':0,'item':{'id':'fc_m1_0','type':'function_call','status':'completed','"
      "call_id':'t1','name':'f','arguments':'{}'}}\n"
      "{'~output_item.added',#6,'output_index':1,'item':{'id':'fc_m1_1','type':'function_call','status':'in_progress',"
      "'call_id':'t2','name':'g','arguments':''}}\n"
      "{'~function_call_arguments.delta',#7,'output_index':1,'item_id':'fc_m1_1','delta':'{`y`:2}'}\n"
      "{'~function_call_arguments.done',#8,'output_index':1,'item_id':'fc_m1_1','arguments':'{`y`:2}'}\n"
      "{'~output_item.done',#9,'output_index':1,'item':{'id':'fc_m1_1','type':'function_call','status':'completed','"
      "call_id':'t2','name':'g','arguments':'{`y`:2}'}}\n"
      "{'~completed',#10,'response':{'id':'m1'~'completed','output':[{'id':'fc_m1_0','type':'function_call','status':'"
      "completed','call_id':'t1','name':'f','arguments':'{}'},{'id':'fc_m1_1','type':'function_call','status':'"
      "completed','call_id':'t2','name':'g','arguments':'{`y`:2}'}],'usage':{'input_tokens':3,'input_tokens_details':{"
      "'cached_tokens':0},'output_tokens':2,'output_tokens_details':{'reasoning_tokens':0},'total_tokens':5}}}\n"}},
    {"refused",
     "{'type':'message_start','message':{'id':'m1','model':'up','usage':{'input_tokens':3}}}\n"
     "{'type':'message_delta','delta':{'stop_reason':'refusal','stop_sequence':null},'usage':{'output_tokens':0}}\n"
     "{'type':'message_stop'}\n",
     true,
     {"{'id':'m1',~{'role':'assistant','content':''}\n"
      "{'id':'m1',~{},'finish_reason':'content_filter'}]}\n"
      "{'id':'m1','choices':[],'usage':{'prompt_tokens':3,'completion_tokens':0,'total_tokens':3,'prompt_tokens_"
      "details':{'cached_tokens':0},'completion_tokens_details':{'reasoning_tokens':0}}}\n"
      "[DONE]\n",
      "{'~created',#0,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~in_progress',#1,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~incomplete',#2,'response':{'id':'m1'~'incomplete','background':false,'error':null,'incomplete_details':{'"
      "reason':'content_filter'},'output':[],'usage':{'input_tokens':3,'input_tokens_details':{'cached_tokens':0},'"
      "output_tokens':0,'output_tokens_details':{'reasoning_tokens':0},'total_tokens':3}}}\n"}},
    {"no end",
     "{'type':'message_start','message':{'id':'m1','model':'up','usage':{'input_tokens':3}}}\n"
     "{'type':'content_block_start','index':0,'content_block':{'type':'text','text':''}}\n"
     "{'type':'content_block_delta','index':0,'delta':{'type':'text_delta','text':'Hi'}}\n"
     "{'type':'content_block_stop','index':0}\n",
     false,
     {"{'id':'m1',~{'role':'assistant','content':''}\n"
      "{'id':'m1',~{'content':'Hi'}\n",
      "{'~created',#0,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~in_progress',#1,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~output_item.added',#2,'output_index':0,'item':{'id':'msg_m1_0','type':'message','status':'in_progress','"
      "role':'assistant','content':[]}}\n"
      "{'~content_part.added',#3,'output_index':0,'item_id':'msg_m1_0','content_index':0,'part':{'type':'output_text',"
      "'text':'',^}}\n"
      "{'~output_text.delta',#4,'output_index':0,'item_id':'msg_m1_0','content_index':0,'delta':'Hi','logprobs':[]}\n"
      "{'~output_text.done',#5,'output_index':0,'item_id':'msg_m1_0','content_index':0,'text':'Hi','logprobs':[]}\n"
      "{'~content_part.done',#6,'output_index':0,'item_id':'msg_m1_0','content_index':0,'part':{'type':'output_text','"
      "text':'Hi',^}}\n"
      "{'~output_item.done',#7,'output_index':0,'item':{'id':'msg_m1_0','type':'message','status':'completed','role':'"
      "assistant','content':[{'type':'output_text','text':'Hi',^}]}}\n"}},
    {"an error in the middle",
     "{'type':'message_start','message':{'id':'m1','model':'up','usage':{'input_tokens':3}}}\n"
     "{'type':'content_block_start','index':0,'content_block':{'type':'text','text':''}}\n"
     "{'type':'error','error':{'type':'overloaded_error','message':'busy'}}\n",
     false,
     {"{'id':'m1',~{'role':'assistant','content':''}\n"
      "{'error':{'message':'busy','type':'server_error','param':null,'code':null}}\n",
      "{'~created',#0,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~in_progress',#1,'response':{'id':'m1'~'in_progress','output':[],'usage':null}}\n"
      "{'~output_item.added',#2,'output_index':0,'item':{'id':'msg_m1_0','type':'message','status':'in_progress','"
      "role':'assistant','content':[]}}\n"
      "{'~content_part.added',#3,'output_index':0,'item_id':'msg_m1_0','content_index':0,'part':{'type':'output_text',"
      "'text':'',^}}\n"
      "{'~failed',#4,'response':{'id':'m1'~'failed','background':false,'error':{'code':'server_error','message':'busy'"
      "},'incomplete_details':null,'output':[],'usage':null}}\n"}},
};

static const struct answer of_responses[] = {
    {"thoughts, a text, a call, usage",
     "{'type':'response.created','response':{'id':'r1','status':'in_progress','model':'up','output':[],'usage':null}}"
     "\n"
     "{'type':'response.output_item.added','output_index':0,'item':{'id':'s1','type':'reasoning'}}\n"
     "{'type':'response.reasoning_text.delta','item_id':'s1','delta':'hm'}\n"
     "{'type':'response.output_item.done','output_index':0,'item':{'id':'s1','type':'reasoning','content':[{'type':'"
     "reasoning_text','text':'hm'}]}}\n"
     "{'type':'response.output_item.added','output_index':1,'item':{'id':'g1','type':'message','content':[]}}\n"
     "{'type':'response.output_text.delta','item_id':'g1','delta':'H'}\n"
     "{'type':'response.output_text.delta','item_id':'g1','delta':'i'}\n"
     "{'type':'response.output_item.done','output_index':1,'item':{'id':'g1','type':'message','content':[{'type':'"
     "output_text','text':'Hi'}]}}\n"
     "{'type':'response.output_item.added','output_index':2,'item':{'id':'f1','type':'function_call','call_id':'a','"
     "name':'f','arguments':''}}\n"
     "{'type':'response.function_call_arguments.delta','item_id':'f1','delta':'{`x`:1}'}\n"
     "{'type':'response.output_item.done','output_index':2,'item':{'id':'f1','type':'function_call','call_id':'a','"
     "name':'f','arguments':'{`x`:1}'}}\n"
     "{'type':'response.completed','response':{'id':'r1','status':'completed','model':'up','output':[],'usage':{'"
     "input_tokens':20,'input_tokens_details':{'cached_tokens':8},'output_tokens':5,'output_tokens_details':{'"
     "reasoning_tokens':2}}}}\n",
     true,
     {"{'id':'r1',~{'role':'assistant','content':''}\n"
      "{'id':'r1',~{'reasoning_content':'hm'}\n"
      "{'id':'r1',~{'content':'H'}\n"
      "{'id':'r1',~{'content':'i'}\n"
      "{'id':'r1',~{'tool_calls':[{'index':0,'id':'a','type':'function','function':{'name':'f','arguments':''}}]}\n"
      "{'id':'r1',~{'tool_calls':[{'index':0,'function':{'arguments':'{`x`:1}'}}]}\n"
      "{'id':'r1',~{},'finish_reason':'tool_calls'}]}\n"
      "{'id':'r1','choices':[],'usage':{'prompt_tokens':20,'completion_tokens':5,'total_tokens':25,'prompt_tokens_"
      "details':{'cached_tokens':8},'completion_tokens_details':{'reasoning_tokens':2}}}\n"
      "[DONE]\n",
      "{'type':'message_start','message':{'id':'r1','type':'message','role':'assistant','model':'up','content':[],'"
      "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
      "input_tokens':0,'output_tokens':0}}}\n"
      "{'~start','index':0,'content_block':{'type':'thinking','thinking':'','signature':''}}\n"
      "{'~delta','index':0,'delta':{'type':'thinking_delta','thinking':'hm'}}\n"
      "{'~stop','index':0}\n"
      "{'~start','index':1,'content_block':{'type':'text','text':''}}\n"
      "{'~delta','index':1,'delta':{'type':'text_delta','text':'H'}}\n"
      "{'~delta','index':1,'delta':{'type':'text_delta','text':'i'}}\n"
      "{'~stop','index':1}\n"
      "{'~start','index':2,'content_block':{'type':'tool_use','id':'a','name':'f','input':{}}}\n"
      "{'~delta','index':2,'delta':{'type':'input_json_delta','partial_json':'{`x`:1}'}}\n"
      "{'~stop','index':2}\n"
      "{'type':'message_delta','delta':{'stop_reason':'tool_use','stop_sequence':null},'usage':{'input_tokens':12,'"
      "cache_creation_input_tokens':0,'cache_read_input_tokens':8,'output_tokens':5}}\n"
      "{'type':'message_stop'}\n"}},
    {"a summary of two parts, cut at the limit",
     "{'type':'response.created','response':{'id':'r1','status':'in_progress','model':'up','output':[],'usage':null}}"
     "\n"
     "{'type':'response.output_item.added','output_index':0,'item':{'id':'s1','type':'reasoning'}}\n"
     "{'type':'response.reasoning_summary_part.added','item_id':'s1','summary_index':0}\n"
     "{'type':'response.reasoning_summary_text.delta','item_id':'s1','delta':'one'}\n"
     "{'type':'response.reasoning_summary_part.added','item_id':'s1','summary_index':1}\n"
     "{'type':'response.reasoning_summary_text.delta','item_id':'s1','delta':'two'}\n"
     "{'type':'response.output_item.done','output_index':0,'item':{'id':'s1','type':'reasoning','summary':[{'text':'"
     "one'},{'text':'two'}]}}\n"
     "{'type':'response.incomplete','response':{'id':'r1','status':'incomplete','model':'up','output':[],'usage':{'"
     "input_tokens':20,'input_tokens_details':{'cached_tokens':8},'output_tokens':5,'output_tokens_details':{'"
     "reasoning_tokens':2}},'incomplete_details':{'reason':'max_output_tokens'}}}\n",
     true,
     {"{'id':'r1',~{'role':'assistant','content':''}\n"
      "{'id':'r1',~{'reasoning_content':'one'}\n"
      "{'id':'r1',~{'reasoning_content':'\\n\\n'}\n"
      "{'id':'r1',~{'reasoning_content':'two'}\n"
      "{'id':'r1',~{},'finish_reason':'length'}]}\n"
      "{'id':'r1','choices':[],'usage':{'prompt_tokens':20,'completion_tokens':5,'total_tokens':25,'prompt_tokens_"
      "details':{'cached_tokens':8},'completion_tokens_details':{'reasoning_tokens':2}}}\n"
      "[DONE]\n",
      "{'type':'message_start','message':{'id':'r1','type':'message','role':'assistant','model':'up','content':[],'"
      "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
      "input_tokens':0,'output_tokens':0}}}\n"
      "{'~start','index':0,'content_block':{'type':'thinking','thinking':'','signature':''}}\n"
      "{'~delta','index':0,'delta':{'type':'thinking_delta','thinking':'one'}}\n"
      "{'~delta','index':0,'delta':{'type':'thinking_delta','thinking':'\\n\\n'}}\n"
      "{'~delta','index':0,'delta':{'type':'thinking_delta','thinking':'two'}}\n"
      "{'~stop','index':0}\n"
      "{'type':'message_delta','delta':{'stop_reason':'max_tokens','stop_sequence':null},'usage':{'input_tokens':12,'"
      "cache_creation_input_tokens':0,'cache_read_input_tokens':8,'output_tokens':5}}\n"
      "{'type':'message_stop'}\n"}},
    {"all of it only at the end",
     "{'type':'response.created','response':{'id':'r1','status':'in_progress','model':'up','output':[],'usage':null}}"
     "\n"
     "{'type':'response.completed','response':{'id':'r1','status':'completed','model':'up','output':[{'id':'g1','type'"
     ":'message','content':[{'type':'output_text','text':'Hi'}]},{'id':'f1','type':'function_call','call_id':'a','"
     "name':'f','arguments':'{`x`:1}'}],'usage':{'input_tokens':20,'input_tokens_details':{'cached_tokens':8},'output_"
     "tokens':5,'output_tokens_details':{'reasoning_tokens':2}}}}\n",
     true,
     {"{'id':'r1',~{'role':'assistant','content':''}\n"
      "{'id':'r1',~{'content':'Hi'}\n"
      "{'id':'r1',~{'tool_calls':[{'index':0,'id':'a','type':'function','function':{'name':'f','arguments':''}}]}\n"
      "{'id':'r1',~{'tool_calls':[{'index':0,'function':{'arguments':'{`x`:1}'}}]}\n"
      "{'id':'r1',~{},'finish_reason':'tool_calls'}]}\n"
      "{'id':'r1','choices':[],'usage':{'prompt_tokens':20,'completion_tokens':5,'total_tokens':25,'prompt_tokens_"
      "details':{'cached_tokens':8},'completion_tokens_details':{'reasoning_tokens':2}}}\n"
      "[DONE]\n",
      "{'type':'message_start','message':{'id':'r1','type':'message','role':'assistant','model':'up','content':[],'"
      "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
      "input_tokens':0,'output_tokens':0}}}\n"
      "{'~start','index':0,'content_block':{'type':'text','text':''}}\n"
      "{'~delta','index':0,'delta':{'type':'text_delta','text':'Hi'}}\n"
      "{'~stop','index':0}\n"
      "{'~start','index':1,'content_block':{'type':'tool_use','id':'a','name':'f','input':{}}}\n"
      "{'~delta','index':1,'delta':{'type':'input_json_delta','partial_json':'{`x`:1}'}}\n"
      "{'~stop','index':1}\n"
      "{'type':'message_delta','delta':{'stop_reason':'tool_use','stop_sequence':null},'usage':{'input_tokens':12,'"
      "cache_creation_input_tokens':0,'cache_read_input_tokens':8,'output_tokens':5}}\n"
      "{'type':'message_stop'}\n"}},
    {"filtered",
     "{'type':'response.created','response':{'id':'r1','status':'in_progress','model':'up','output':[],'usage':null}}"
     "\n"
     "{'type':'response.incomplete','response':{'id':'r1','status':'incomplete','model':'up','output':[],'usage':null,"
     "'incomplete_details':{'reason':'content_filter'}}}\n",
     true,
     {"{'id':'r1',~{'role':'assistant','content':''}\n"
      "{'id':'r1',~{},'finish_reason':'content_filter'}]}\n"
      "{'id':'r1','choices':[],'usage':{'prompt_tokens':0,'completion_tokens':0,'total_tokens':0,'prompt_tokens_"
      "details':{'cached_tokens':0},'completion_tokens_details':{'reasoning_tokens':0}}}\n"
      "[DONE]\n",
      "{'type':'message_start','message':{'id':'r1','type':'message','role':'assistant','model':'up','content':[],'"
      "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
      "input_tokens':0,'output_tokens':0}}}\n"
      "{'type':'message_delta','delta':{'stop_reason':'refusal','stop_sequence':null},'usage':{'input_tokens':7,'"
      "cache_creation_input_tokens':0,'cache_read_input_tokens':0,'output_tokens':0}}\n"
      "{'type':'message_stop'}\n"}},
    {"no end",
     "{'type':'response.created','response':{'id':'r1','status':'in_progress','model':'up','output':[],'usage':null}}"
     "\n"
     "{'type':'response.output_item.added','output_index':0,'item':{'id':'g1','type':'message'}}\n"
     "{'type':'response.output_text.delta','item_id':'g1','delta':'Hi'}\n",
     false,
     {"{'id':'r1',~{'role':'assistant','content':''}\n"
      "{'id':'r1',~{'content':'Hi'}\n",
      "{'type':'message_start','message':{'id':'r1','type':'message','role':'assistant','model':'up','content':[],'"
      "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
      "input_tokens':0,'output_tokens':0}}}\n"
      "{'~start','index':0,'content_block':{'type':'text','text':''}}\n"
      "{'~delta','index':0,'delta':{'type':'text_delta','text':'Hi'}}\n"}},
    {"failed",
     "{'type':'response.created','response':{'id':'r1','status':'in_progress','model':'up','output':[],'usage':null}}"
     "\n"
     "{'type':'response.failed','response':{'id':'r1','status':'failed','model':'up','output':[],'usage':null,'error':"
     "{'code':'server_error','message':'broke'}}}\n",
     false,
     {"{'id':'r1',~{'role':'assistant','content':''}\n"
      "{'error':{'message':'broke','type':'server_error','param':null,'code':null}}\n",
      "{'type':'message_start','message':{'id':'r1','type':'message','role':'assistant','model':'up','content':[],'"
      "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
      "input_tokens':0,'output_tokens':0}}}\n"
      "{'type':'error','error':{'type':'api_error','message':'broke'}}\n"}},
};

static void chat_answers_in_other_words(void **state)
{
    static const enum pm_protocol to[] = {PM_PROTO_RESPONSES, PM_PROTO_MESSAGES};
    (void)state;
    check(of_chat, COUNT(of_chat), PM_PROTO_CHAT, to);
}

static void messages_answers_in_other_words(void **state)
{
    static const enum pm_protocol to[] = {PM_PROTO_CHAT, PM_PROTO_RESPONSES};
    (void)state;
    check(of_messages, COUNT(of_messages), PM_PROTO_MESSAGES, to);
}

static void responses_answers_in_other_words(void **state)
{
    static const enum pm_protocol to[] = {PM_PROTO_CHAT, PM_PROTO_MESSAGES};
    (void)state;
    check(of_responses, COUNT(of_responses), PM_PROTO_RESPONSES, to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat_answers_in_other_words),
        cmocka_unit_test(messages_answers_in_other_words),
        cmocka_unit_test(responses_answers_in_other_words),
    };
    return cmocka_run_group_tests_name("codec_stream", tests, NULL, NULL);
}
