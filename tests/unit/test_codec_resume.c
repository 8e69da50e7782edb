/* Streams that are gone on with, what answers are made of besides events, and the end of mended streams. */
#include "tests/unit/stream_text.h"

#include "core/api/mend.h"
#include "core/api/resume.h"

/* --- going on --- */

struct break_off {
    const char *name;
    enum pm_protocol protocol; /* of the caller; the new answer is one of chat */
    const char *said, *answer;
    const char *rest; /* NULL: there is no going on */
    enum pm_resume_state state;
};

static const char same_answer[] =
    "{'id':'c1','model':'up','choices':[{'delta':{'reasoning_content':'hm'}}]}\n"
    "{'id':'c1','model':'up','choices':[{'delta':{'content':'Hel'}}]}\n"
    "{'id':'c1','model':'up','choices':[{'delta':{'content':'lo'}}]}\n"
    "{'id':'c1','model':'up','choices':[{'delta':{},'finish_reason':'stop'}]}\n"
    "{'id':'c1','choices':[],'usage':{'prompt_tokens':20,'completion_tokens':5,'prompt_tokens_details':{'cached_"
    "tokens':8},'completion_tokens_details':{'reasoning_tokens':2}}}\n";

static const struct break_off break_offs[] = {
    {"the same answer, after 2 events", PM_PROTO_CHAT,
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'role':'"
     "assistant','content':''},'finish_reason':null}]}\n"
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'reasoning_"
     "content':'hm'},'finish_reason':null}]}\n",
     same_answer,
     "{'id':'c1',~{'content':'Hel'}\n"
     "{'id':'c1',~{'content':'lo'}\n"
     "{'id':'c1',~{},'finish_reason':'stop'}]}\n"
     "{'id':'c1','choices':[],'usage':{'prompt_tokens':20,'completion_tokens':5,'total_tokens':25,'prompt_tokens_"
     "details':{'cached_tokens':8},'completion_tokens_details':{'reasoning_tokens':2}}}\n"
     "[DONE]\n",
     PM_RESUME_GOES_ON},
    {"the same answer, after 3 events", PM_PROTO_CHAT,
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'role':'"
     "assistant','content':''},'finish_reason':null}]}\n"
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'reasoning_"
     "content':'hm'},'finish_reason':null}]}\n"
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'content':'"
     "Hel'},'finish_reason':null}]}\n",
     same_answer,
     "{'id':'c1',~{'content':'lo'}\n"
     "{'id':'c1',~{},'finish_reason':'stop'}]}\n"
     "{'id':'c1','choices':[],'usage':{'prompt_tokens':20,'completion_tokens':5,'total_tokens':25,'prompt_tokens_"
     "details':{'cached_tokens':8},'completion_tokens_details':{'reasoning_tokens':2}}}\n"
     "[DONE]\n",
     PM_RESUME_GOES_ON},
    {"the same answer, after 3 events", PM_PROTO_MESSAGES,
     "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
     "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
     "input_tokens':0,'output_tokens':0}}}\n"
     "{'type':'content_block_start','index':0,'content_block':{'type':'thinking','thinking':'','signature':''}}\n"
     "{'type':'content_block_delta','index':0,'delta':{'type':'thinking_delta','thinking':'hm'}}\n",
     same_answer,
     "{'~stop','index':0}\n"
     "{'~start','index':1,'content_block':{'type':'text','text':''}}\n"
     "{'~delta','index':1,'delta':{'type':'text_delta','text':'Hel'}}\n"
     "{'~delta','index':1,'delta':{'type':'text_delta','text':'lo'}}\n"
     "{'~stop','index':1}\n"
     "{'type':'message_delta','delta':{'stop_reason':'end_turn','stop_sequence':null},'usage':{'input_tokens':12,'"
     "cache_creation_input_tokens':0,'cache_read_input_tokens':8,'output_tokens':5}}\n"
     "{'type':'message_stop'}\n",
     PM_RESUME_GOES_ON},
    {"the same answer, after 6 events", PM_PROTO_MESSAGES,
     "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
     "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
     "input_tokens':0,'output_tokens':0}}}\n"
     "{'type':'content_block_start','index':0,'content_block':{'type':'thinking','thinking':'','signature':''}}\n"
     "{'type':'content_block_delta','index':0,'delta':{'type':'thinking_delta','thinking':'hm'}}\n"
     "{'type':'content_block_stop','index':0}\n"
     "{'type':'content_block_start','index':1,'content_block':{'type':'text','text':''}}\n"
     "{'type':'content_block_delta','index':1,'delta':{'type':'text_delta','text':'Hel'}}\n",
     same_answer,
     "{'~delta','index':1,'delta':{'type':'text_delta','text':'lo'}}\n"
     "{'~stop','index':1}\n"
     "{'type':'message_delta','delta':{'stop_reason':'end_turn','stop_sequence':null},'usage':{'input_tokens':12,'"
     "cache_creation_input_tokens':0,'cache_read_input_tokens':8,'output_tokens':5}}\n"
     "{'type':'message_stop'}\n",
     PM_RESUME_GOES_ON},
    {"the same answer, after 7 events", PM_PROTO_RESPONSES,
     "{'type':'response.created','sequence_number':0,'response':{'id':'c1','object':'response','created_at':1,'status'"
     ":'in_progress','background':false,'error':null,'incomplete_details':null,'instructions':null,'max_output_tokens'"
     ":null,'model':'up','output':[],'parallel_tool_calls':true,'previous_response_id':null,'reasoning':null,'store':"
     "false,'temperature':null,'text':{'format':{'type':'text'}},'tool_choice':'auto','tools':[],'top_p':null,'"
     "truncation':'disabled','user':null,'metadata':{},'usage':null}}\n"
     "{'type':'response.in_progress','sequence_number':1,'response':{'id':'c1','object':'response','created_at':1,'"
     "status':'in_progress','background':false,'error':null,'incomplete_details':null,'instructions':null,'max_output_"
     "tokens':null,'model':'up','output':[],'parallel_tool_calls':true,'previous_response_id':null,'reasoning':null,'"
     "store':false,'temperature':null,'text':{'format':{'type':'text'}},'tool_choice':'auto','tools':[],'top_p':null,'"
     "truncation':'disabled','user':null,'metadata':{},'usage':null}}\n"
     "{'type':'response.output_item.added','sequence_number':2,'output_index':0,'item':{'id':'rs_c1_0','type':'"
     "reasoning','summary':[],'content':[]}}\n"
     "{'type':'response.content_part.added','sequence_number':3,'output_index':0,'item_id':'rs_c1_0','content_index':"
     "0,'part':{'type':'reasoning_text','text':''}}\n"
     "{'type':'response.reasoning_text.delta','sequence_number':4,'output_index':0,'item_id':'rs_c1_0','content_index'"
     ":0,'delta':'hm'}\n"
     "{'type':'response.reasoning_text.done','sequence_number':5,'output_index':0,'item_id':'rs_c1_0','content_index':"
     "0,'text':'hm'}\n"
     "{'type':'response.content_part.done','sequence_number':6,'output_index':0,'item_id':'rs_c1_0','content_index':0,"
     "'part':{'type':'reasoning_text','text':'hm'}}\n",
     same_answer,
     "{'~output_item.done',#7,'output_index':0,'item':{'id':'rs_c1_0','type':'reasoning','summary':[],'content':[{'"
     "type':'reasoning_text','text':'hm'}]}}\n"
     "{'~output_item.added',#8,'output_index':1,'item':{'id':'msg_c1_1','type':'message','status':'in_progress','role'"
     ":'assistant','content':[]}}\n"
     "{'~content_part.added',#9,'output_index':1,'item_id':'msg_c1_1','content_index':0,'part':{'type':'output_text','"
     "text':'',^}}\n"
     "{'~output_text.delta',#10,'output_index':1,'item_id':'msg_c1_1','content_index':0,'delta':'Hel','logprobs':[]}\n"
     "{'~output_text.delta',#11,'output_index':1,'item_id':'msg_c1_1','content_index':0,'delta':'lo','logprobs':[]}\n"
     "{'~output_text.done',#12,'output_index':1,'item_id':'msg_c1_1','content_index':0,'text':'Hello','logprobs':[]}\n"
     "{'~content_part.done',#13,'output_index':1,'item_id':'msg_c1_1','content_index':0,'part':{'type':'output_text','"
     "text':'Hello',^}}\n"
     "{'~output_item.done',#14,'output_index':1,'item':{'id':'msg_c1_1','type':'message','status':'completed','role':'"
     "assistant','content':[{'type':'output_text','text':'Hello',^}]}}\n"
     "{'~completed',#15,'response':{'id':'c1'~'completed','output':[{'id':'rs_c1_0','type':'reasoning','summary':[],'"
     "content':[{'type':'reasoning_text','text':'hm'}]},{'id':'msg_c1_1','type':'message','status':'completed','role':"
     "'assistant','content':[{'type':'output_text','text':'Hello',^}]}],'usage':{'input_tokens':20,'input_tokens_"
     "details':{'cached_tokens':8},'output_tokens':5,'output_tokens_details':{'reasoning_tokens':2},'total_tokens':25}"
     "}}\n",
     PM_RESUME_GOES_ON},
    {"the same answer, after 11 events", PM_PROTO_RESPONSES,
     "{'type':'response.created','sequence_number':0,'response':{'id':'c1','object':'response','created_at':1,'status'"
     ":'in_progress','background':false,'error':null,'incomplete_details':null,'instructions':null,'max_output_tokens'"
     ":null,'model':'up','output':[],'parallel_tool_calls':true,'previous_response_id':null,'reasoning':null,'store':"
     "false,'temperature':null,'text':{'format':{'type':'text'}},'tool_choice':'auto','tools':[],'top_p':null,'"
     "truncation':'disabled','user':null,'metadata':{},'usage':null}}\n"
     "{'type':'response.in_progress','sequence_number':1,'response':{'id':'c1','object':'response','created_at':1,'"
     "status':'in_progress','background':false,'error':null,'incomplete_details':null,'instructions':null,'max_output_"
     "tokens':null,'model':'up','output':[],'parallel_tool_calls':true,'previous_response_id':null,'reasoning':null,'"
     "store':false,'temperature':null,'text':{'format':{'type':'text'}},'tool_choice':'auto','tools':[],'top_p':null,'"
     "truncation':'disabled','user':null,'metadata':{},'usage':null}}\n"
     "{'type':'response.output_item.added','sequence_number':2,'output_index':0,'item':{'id':'rs_c1_0','type':'"
     "reasoning','summary':[],'content':[]}}\n"
     "{'type':'response.content_part.added','sequence_number':3,'output_index':0,'item_id':'rs_c1_0','content_index':"
     "0,'part':{'type':'reasoning_text','text':''}}\n"
     "{'type':'response.reasoning_text.delta','sequence_number':4,'output_index':0,'item_id':'rs_c1_0','content_index'"
     ":0,'delta':'hm'}\n"
     "{'type':'response.reasoning_text.done','sequence_number':5,'output_index':0,'item_id':'rs_c1_0','content_index':"
     "0,'text':'hm'}\n"
     "{'type':'response.content_part.done','sequence_number':6,'output_index':0,'item_id':'rs_c1_0','content_index':0,"
     "'part':{'type':'reasoning_text','text':'hm'}}\n"
     "{'type':'response.output_item.done','sequence_number':7,'output_index':0,'item':{'id':'rs_c1_0','type':'"
     "reasoning','summary':[],'content':[{'type':'reasoning_text','text':'hm'}]}}\n"
     "{'type':'response.output_item.added','sequence_number':8,'output_index':1,'item':{'id':'msg_c1_1','type':'"
     "message','status':'in_progress','role':'assistant','content':[]}}\n"
     "{'type':'response.content_part.added','sequence_number':9,'output_index':1,'item_id':'msg_c1_1','content_index':"
     "0,'part':{'type':'output_text','text':'','annotations':[],'logprobs':[]}}\n"
     "{'type':'response.output_text.delta','sequence_number':10,'output_index':1,'item_id':'msg_c1_1','content_index':"
     "0,'delta':'Hel','logprobs':[]}\n",
     same_answer,
     "{'~output_text.delta',#11,'output_index':1,'item_id':'msg_c1_1','content_index':0,'delta':'lo','logprobs':[]}\n"
     "{'~output_text.done',#12,'output_index':1,'item_id':'msg_c1_1','content_index':0,'text':'Hello','logprobs':[]}\n"
     "{'~content_part.done',#13,'output_index':1,'item_id':'msg_c1_1','content_index':0,'part':{'type':'output_text','"
     "text':'Hello',^}}\n"
     "{'~output_item.done',#14,'output_index':1,'item':{'id':'msg_c1_1','type':'message','status':'completed','role':'"
     "assistant','content':[{'type':'output_text','text':'Hello',^}]}}\n"
     "{'~completed',#15,'response':{'id':'c1'~'completed','output':[{'id':'rs_c1_0','type':'reasoning','summary':[],'"
     "content':[{'type':'reasoning_text','text':'hm'}]},{'id':'msg_c1_1','type':'message','status':'completed','role':"
     "'assistant','content':[{'type':'output_text','text':'Hello',^}]}],'usage':{'input_tokens':20,'input_tokens_"
     "details':{'cached_tokens':8},'output_tokens':5,'output_tokens_details':{'reasoning_tokens':2},'total_tokens':25}"
     "}}\n",
     PM_RESUME_GOES_ON},
    {"the same answer, after 13 events", PM_PROTO_RESPONSES,
     "{'type':'response.created','sequence_number':0,'response':{'id':'c1','object':'response','created_at':1,'status'"
     ":'in_progress','background':false,'error':null,'incomplete_details':null,'instructions':null,'max_output_tokens'"
     ":null,'model':'up','output':[],'parallel_tool_calls':true,'previous_response_id':null,'reasoning':null,'store':"
     "false,'temperature':null,'text':{'format':{'type':'text'}},'tool_choice':'auto','tools':[],'top_p':null,'"
     "truncation':'disabled','user':null,'metadata':{},'usage':null}}\n"
     "{'type':'response.in_progress','sequence_number':1,'response':{'id':'c1','object':'response','created_at':1,'"
     "status':'in_progress','background':false,'error':null,'incomplete_details':null,'instructions':null,'max_output_"
     "tokens':null,'model':'up','output':[],'parallel_tool_calls':true,'previous_response_id':null,'reasoning':null,'"
     "store':false,'temperature':null,'text':{'format':{'type':'text'}},'tool_choice':'auto','tools':[],'top_p':null,'"
     "truncation':'disabled','user':null,'metadata':{},'usage':null}}\n"
     "{'type':'response.output_item.added','sequence_number':2,'output_index':0,'item':{'id':'rs_c1_0','type':'"
     "reasoning','summary':[],'content':[]}}\n"
     "{'type':'response.content_part.added','sequence_number':3,'output_index':0,'item_id':'rs_c1_0','content_index':"
     "0,'part':{'type':'reasoning_text','text':''}}\n"
     "{'type':'response.reasoning_text.delta','sequence_number':4,'output_index':0,'item_id':'rs_c1_0','content_index'"
     ":0,'delta':'hm'}\n"
     "{'type':'response.reasoning_text.done','sequence_number':5,'output_index':0,'item_id':'rs_c1_0','content_index':"
     "0,'text':'hm'}\n"
     "{'type':'response.content_part.done','sequence_number':6,'output_index':0,'item_id':'rs_c1_0','content_index':0,"
     "'part':{'type':'reasoning_text','text':'hm'}}\n"
     "{'type':'response.output_item.done','sequence_number':7,'output_index':0,'item':{'id':'rs_c1_0','type':'"
     "reasoning','summary':[],'content':[{'type':'reasoning_text','text':'hm'}]}}\n"
     "{'type':'response.output_item.added','sequence_number':8,'output_index':1,'item':{'id':'msg_c1_1','type':'"
     "message','status':'in_progress','role':'assistant','content':[]}}\n"
     "{'type':'response.content_part.added','sequence_number':9,'output_index':1,'item_id':'msg_c1_1','content_index':"
     "0,'part':{'type':'output_text','text':'','annotations':[],'logprobs':[]}}\n"
     "{'type':'response.output_text.delta','sequence_number':10,'output_index':1,'item_id':'msg_c1_1','content_index':"
     "0,'delta':'Hel','logprobs':[]}\n"
     "{'type':'response.output_text.delta','sequence_number':11,'output_index':1,'item_id':'msg_c1_1','content_index':"
     "0,'delta':'lo','logprobs':[]}\n"
     "{'type':'response.output_text.done','sequence_number':12,'output_index':1,'item_id':'msg_c1_1','content_index':"
     "0,'text':'Hello','logprobs':[]}\n",
     same_answer,
     "{'~content_part.done',#13,'output_index':1,'item_id':'msg_c1_1','content_index':0,'part':{'type':'output_text','"
     "text':'Hello',^}}\n"
     "{'~output_item.done',#14,'output_index':1,'item':{'id':'msg_c1_1','type':'message','status':'completed','role':'"
     "assistant','content':[{'type':'output_text','text':'Hello',^}]}}\n"
     "{'~completed',#15,'response':{'id':'c1'~'completed','output':[{'id':'rs_c1_0','type':'reasoning','summary':[],'"
     "content':[{'type':'reasoning_text','text':'hm'}]},{'id':'msg_c1_1','type':'message','status':'completed','role':"
     "'assistant','content':[{'type':'output_text','text':'Hello',^}]}],'usage':{'input_tokens':20,'input_tokens_"
     "details':{'cached_tokens':8},'output_tokens':5,'output_tokens_details':{'reasoning_tokens':2},'total_tokens':25}"
     "}}\n",
     PM_RESUME_GOES_ON},
    {"another answer", PM_PROTO_CHAT,
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'role':'"
     "assistant','content':''},'finish_reason':null}]}\n"
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'reasoning_"
     "content':'hm'},'finish_reason':null}]}\n"
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'content':'"
     "Hel'},'finish_reason':null}]}\n"
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'content':'"
     "lo'},'finish_reason':null}]}\n",
     "{'id':'c1','model':'up','choices':[{'delta':{'reasoning_content':'hm'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'content':'Help'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{},'finish_reason':'stop'}]}\n",
     "", PM_RESUME_DIFFERS},
    {"a shorter answer", PM_PROTO_MESSAGES,
     "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
     "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
     "input_tokens':0,'output_tokens':0}}}\n"
     "{'type':'content_block_start','index':0,'content_block':{'type':'thinking','thinking':'','signature':''}}\n"
     "{'type':'content_block_delta','index':0,'delta':{'type':'thinking_delta','thinking':'hm'}}\n"
     "{'type':'content_block_stop','index':0}\n"
     "{'type':'content_block_start','index':1,'content_block':{'type':'text','text':''}}\n"
     "{'type':'content_block_delta','index':1,'delta':{'type':'text_delta','text':'Hel'}}\n",
     "{'id':'c1','model':'up','choices':[{'delta':{'reasoning_content':'hm'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'content':'H'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{},'finish_reason':'stop'}]}\n",
     "", PM_RESUME_DIFFERS},
    {"nothing was said", PM_PROTO_MESSAGES,
     "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
     "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
     "input_tokens':0,'output_tokens':0}}}\n",
     same_answer, NULL, PM_RESUME_CATCHING_UP},
    {"it had ended", PM_PROTO_MESSAGES,
     "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
     "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
     "input_tokens':0,'output_tokens':0}}}\n"
     "{'type':'content_block_start','index':0,'content_block':{'type':'thinking','thinking':'','signature':''}}\n"
     "{'type':'content_block_delta','index':0,'delta':{'type':'thinking_delta','thinking':'hm'}}\n"
     "{'type':'content_block_stop','index':0}\n"
     "{'type':'content_block_start','index':1,'content_block':{'type':'text','text':''}}\n"
     "{'type':'content_block_delta','index':1,'delta':{'type':'text_delta','text':'Hel'}}\n"
     "{'type':'content_block_delta','index':1,'delta':{'type':'text_delta','text':'lo'}}\n"
     "{'type':'content_block_stop','index':1}\n"
     "{'type':'message_delta','delta':{'stop_reason':'end_turn','stop_sequence':null},'usage':{'input_tokens':12,'"
     "cache_creation_input_tokens':0,'cache_read_input_tokens':8,'output_tokens':5}}\n"
     "{'type':'message_stop'}\n",
     same_answer, NULL, PM_RESUME_CATCHING_UP},
    {"a call is under way", PM_PROTO_MESSAGES,
     "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
     "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
     "input_tokens':0,'output_tokens':0}}}\n"
     "{'type':'content_block_start','index':0,'content_block':{'type':'text','text':''}}\n"
     "{'type':'content_block_delta','index':0,'delta':{'type':'text_delta','text':'Hi'}}\n"
     "{'type':'content_block_stop','index':0}\n"
     "{'type':'content_block_start','index':1,'content_block':{'type':'tool_use','id':'a','name':'f','input':{}}}\n"
     "{'type':'content_block_delta','index':1,'delta':{'type':'input_json_delta','partial_json':'{`x`:1}'}}\n",
     "{'id':'c1','model':'up','choices':[{'delta':{'content':'Hi'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'tool_calls':[{'index':0,'id':'a','function':{'name':'f','"
     "arguments':'{`x`:1}'}}]}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{},'finish_reason':'tool_calls'}]}\n",
     NULL, PM_RESUME_CATCHING_UP},
    {"a call is whole", PM_PROTO_MESSAGES,
     "{'type':'message_start','message':{'id':'c1','type':'message','role':'assistant','model':'up','content':[],'"
     "stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_"
     "input_tokens':0,'output_tokens':0}}}\n"
     "{'type':'content_block_start','index':0,'content_block':{'type':'text','text':''}}\n"
     "{'type':'content_block_delta','index':0,'delta':{'type':'text_delta','text':'Hi'}}\n"
     "{'type':'content_block_stop','index':0}\n"
     "{'type':'content_block_start','index':1,'content_block':{'type':'tool_use','id':'a','name':'f','input':{}}}\n"
     "{'type':'content_block_delta','index':1,'delta':{'type':'input_json_delta','partial_json':'{`x`:1}'}}\n"
     "{'type':'content_block_stop','index':1}\n",
     "{'id':'c1','model':'up','choices':[{'delta':{'content':'Hi'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'tool_calls':[{'index':0,'id':'a','function':{'name':'f','"
     "arguments':'{`x`:1}'}}]}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{},'finish_reason':'tool_calls'}]}\n",
     "{'type':'message_delta','delta':{'stop_reason':'tool_use','stop_sequence':null},'usage':{'input_tokens':7,'"
     "cache_creation_input_tokens':0,'cache_read_input_tokens':0,'output_tokens':0}}\n"
     "{'type':'message_stop'}\n",
     PM_RESUME_GOES_ON},
    {"a call of chat may be under way", PM_PROTO_CHAT,
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'role':'"
     "assistant','content':''},'finish_reason':null}]}\n"
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'content':'"
     "Hi'},'finish_reason':null}]}\n"
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'tool_calls'"
     ":[{'index':0,'id':'a','type':'function','function':{'name':'f','arguments':''}}]},'finish_reason':null}]}\n"
     "{'id':'c1','object':'chat.completion.chunk','created':1,'model':'up','choices':[{'index':0,'delta':{'tool_calls'"
     ":[{'index':0,'function':{'arguments':'{`x`:1}'}}]},'finish_reason':null}]}\n",
     "{'id':'c1','model':'up','choices':[{'delta':{'content':'Hi'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'tool_calls':[{'index':0,'id':'a','function':{'name':'f','"
     "arguments':'{`x`:1}'}}]}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{},'finish_reason':'tool_calls'}]}\n",
     NULL, PM_RESUME_CATCHING_UP},
    {"a call was told while another one is open", PM_PROTO_CHAT,
     "{'id':'c1','model':'up','choices':[{'delta':{'role':'assistant','content':''}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'tool_calls':[{'index':0,'id':'a','function':{'name':'f','"
     "arguments':''}}]}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'content':'Hi'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'tool_calls':[{'index':1,'id':'b','function':{'name':'g','"
     "arguments':'{`y`:2}'}}]}}]}\n",
     "{'id':'c1','model':'up','choices':[{'delta':{'tool_calls':[{'index':0,'id':'a','function':{'name':'f','"
     "arguments':''}}]}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'content':'Hi'}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{'tool_calls':[{'index':1,'id':'b','function':{'name':'g','"
     "arguments':'{`y`:2}'}}]}}]}\n"
     "{'id':'c1','model':'up','choices':[{'delta':{},'finish_reason':'tool_calls'}]}\n",
     NULL, PM_RESUME_CATCHING_UP},
};

static void tell(void *arg, const char *name, const char *data, size_t len)
{
    pm_said_event(arg, name, data, len);
}

static void a_stream_goes_on_where_it_broke_off(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(break_offs); i++) {
        const struct break_off *row = &break_offs[i];
        struct pm_said *said = pm_said_new(row->protocol);
        each_event(row->said, tell, said);
        expect(pm_said_can_go_on(said) == (row->rest != NULL), "%s: it can%s go on\n", row->name,
               row->rest ? "not" : "");
        if (row->rest) {
            struct pm_buf out;
            struct pm_encoder *e = new_encoder(row->protocol, NULL, &out);
            struct pm_resume *r = pm_resume_new(said, e);
            struct pm_decoder *d = pm_decoder_new(PM_PROTO_CHAT, pm_resume_event, r);
            each_event(row->answer, decode, d);
            pm_decoder_end(d);
            expect(pm_resume_state(r) == row->state, "%s: the state is %d\n", row->name, pm_resume_state(r));
            same_lines(row->name, &out, row->protocol, row->rest);
            pm_decoder_free(d);
            pm_resume_free(r);
            pm_encoder_free(e);
        }
        pm_said_free(said);
    }
}

/* --- more of answers --- */

/* A namespace and a tool that takes free text get their names back. */
static void tools_have_the_names_that_the_caller_gave_them(void **state)
{
    static const char calls[] =
        "{'choices':[{'delta':{'tool_calls':[{'index':0,'id':'a','function':{'name':'ns__f','arguments':'{}'}}]}}]}\n"
        "{'choices':[{'delta':{'tool_calls':[{'index':1,'id':'b','function':{'name':'patch',"
        "'arguments':'{`input`:`x y`}'}}]},'finish_reason':'tool_calls'}]}\n";
    struct pm_canon *request = pm_canon_new();
    struct pm_buf out;
    (void)state;
    pm_canon_tool(request, "f")->space = "ns";
    pm_canon_tool(request, "patch")->is_custom = true;
    pm_canon_name_tools(request);
    struct pm_encoder *e = new_encoder(PM_PROTO_RESPONSES, request, &out);
    struct pm_decoder *d = pm_decoder_new(PM_PROTO_CHAT, encode, e);
    each_event(calls, decode, d);
    assert_true(pm_decoder_end(d));
    static const char *const wanted[] = {
        "\"call_id\":\"a\",\"name\":\"f\",\"namespace\":\"ns\",\"arguments\":\"{}\"}",
        "\"type\":\"custom_tool_call\"",
        "\"call_id\":\"b\",\"name\":\"patch\",\"input\":\"x y\"}",
        "\"type\":\"response.custom_tool_call_input.delta\"",
        "\"type\":\"response.custom_tool_call_input.done\"",
    };
    for (size_t i = 0; i < COUNT(wanted); i++)
        expect(strstr(out.data, wanted[i]), "%s is missing:\n%s", wanted[i], out.data);
    assert_null(strstr(out.data, "ns__f"));
    pm_decoder_free(d);
    pm_encoder_free(e);
    pm_buf_release(&out);
    pm_canon_free(request);
}

/* A piece of a call's arguments that comes after a text belongs to no text. */
static void arguments_never_become_text(void **state)
{
    static const char mixed[] =
        "{'choices':[{'delta':{'tool_calls':[{'index':0,'id':'a','function':{'name':'f','arguments':'{'}}]}}]}\n"
        "{'choices':[{'delta':{'content':'Hi'}}]}\n"
        "{'choices':[{'delta':{'tool_calls':[{'index':0,'function':{'arguments':'}'}}]},"
        "'finish_reason':'tool_calls'}]}\n";
    struct pm_buf out;
    (void)state;
    struct pm_encoder *e = new_encoder(PM_PROTO_MESSAGES, NULL, &out);
    struct pm_decoder *d = pm_decoder_new(PM_PROTO_CHAT, encode, e);
    each_event(mixed, decode, d);
    assert_true(pm_decoder_end(d));
    assert_null(strstr(out.data, "\"text\":\"}\""));
    pm_decoder_free(d);
    pm_encoder_free(e);
    pm_buf_release(&out);
}

/* What is sent on is JSON, so bytes that are no UTF-8 are replaced. */
static void bytes_that_are_no_text_are_replaced(void **state)
{
    static const char bad[] =
        "{\"id\":\"c\xff\",\"choices\":[{\"delta\":{\"content\":\"a\xff\"},\"finish_reason\":\"stop\"}]}";
    static const enum pm_protocol to[] = {PM_PROTO_CHAT, PM_PROTO_RESPONSES, PM_PROTO_MESSAGES};
    (void)state;
    for (size_t i = 0; i < COUNT(to); i++) {
        struct pm_buf out;
        struct pm_encoder *e = new_encoder(to[i], NULL, &out);
        struct pm_decoder *d = pm_decoder_new(PM_PROTO_CHAT, encode, e);
        pm_decoder_event(d, "", bad, sizeof(bad) - 1);
        pm_decoder_end(d);
        expect(!strchr(out.data, '\xff') && strstr(out.data, "a\xef\xbf\xbd"), "%s: %s\n", pm_protocol_name(to[i]),
               out.data);
        pm_decoder_free(d);
        pm_encoder_free(e);
        pm_buf_release(&out);
    }
}

static void whole_answers_are_understood(void **state)
{
    static const struct {
        enum pm_protocol protocol;
        const char *body;
        bool good;
    } rows[] = {
        {PM_PROTO_CHAT, "{'choices':[{'message':{'content':'Hi'},'finish_reason':'length'}]}", true},
        {PM_PROTO_MESSAGES, "{'content':[{'type':'text','text':'Hi'}],'stop_reason':'max_tokens'}", true},
        {PM_PROTO_RESPONSES,
         "{'output':[{'type':'message','content':[{'type':'output_text','text':'Hi'}]}],"
         "'incomplete_details':{'reason':'max_output_tokens'}}",
         true},
        {PM_PROTO_CHAT, "{'choices':[]}", false},
        {PM_PROTO_MESSAGES, "{'content':'Hi'}", false},
        {PM_PROTO_RESPONSES, "{}", false},
        {PM_PROTO_CHAT, "Hi", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_buf out;
        char *body = unquoted(rows[i].body);
        struct pm_encoder *e = new_encoder(PM_PROTO_CHAT, NULL, &out);
        struct pm_decoder *d = pm_decoder_new(rows[i].protocol, encode, e);
        expect(pm_decoder_whole(d, body, strlen(body)) == rows[i].good, "%s: good is %d\n", body, !rows[i].good);
        expect((strstr(out.data, "\"content\":\"Hi\"") && strstr(out.data, "\"length\"")) == rows[i].good, "%s\n%s\n",
               body, out.data);
        pm_decoder_free(d);
        pm_encoder_free(e);
        pm_buf_release(&out);
        free(body);
    }
}

static void only_the_mark_of_the_end_is_added(void **state)
{
    static const struct {
        const char *name;
        enum pm_protocol protocol;
        const char *type, *data, *end;
        bool complete;
    } rows[] = {
        {"no [DONE]", PM_PROTO_CHAT, "", "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}",
         "data: [DONE]\n\n", true},
        {"no reason to end", PM_PROTO_CHAT, "", "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", "", false},
        {"[DONE]", PM_PROTO_CHAT, "", "[DONE]", "", true},
        {"no message_stop", PM_PROTO_MESSAGES, "message_delta",
         "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":1}}",
         "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", true},
        {"no stop_reason", PM_PROTO_MESSAGES, "ping", "{\"type\":\"ping\"}", "", false},
        {"no response.completed", PM_PROTO_RESPONSES, "response.created",
         "{\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"output\":[]},\"sequence_number\":0}", "", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_mend *m = pm_mend_new(rows[i].protocol, "demo", 9, false);
        struct pm_buf out, raw;
        pm_buf_init(&out, PM_BUF_OWN_LIMIT);
        pm_buf_init(&raw, PM_BUF_OWN_LIMIT);
        pm_buf_addf(&raw, "data: %s\n\n", rows[i].data);
        pm_mend_event(m, rows[i].type, rows[i].data, strlen(rows[i].data), raw.data, raw.len, &out);
        pm_buf_clear(&out);
        expect(pm_mend_end(m, &out) == rows[i].complete, "%s: complete is %d\n", rows[i].name, !rows[i].complete);
        expect(strcmp(out.data, rows[i].end) == 0, "%s: the end is %s\n", rows[i].name, out.data);
        pm_buf_release(&out);
        pm_buf_release(&raw);
        pm_mend_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_goes_on_where_it_broke_off),
        cmocka_unit_test(tools_have_the_names_that_the_caller_gave_them),
        cmocka_unit_test(arguments_never_become_text),
        cmocka_unit_test(bytes_that_are_no_text_are_replaced),
        cmocka_unit_test(whole_answers_are_understood),
        cmocka_unit_test(only_the_mark_of_the_end_is_added),
    };
    return cmocka_run_group_tests_name("codec_resume", tests, NULL, NULL);
}
